//! What an assessment asks of the world, and what it makes of the answers.

mod surveys;
