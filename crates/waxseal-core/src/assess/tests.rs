//! What a stored survey and its words promise.

mod advice;
mod changes;
mod ids;
mod levels;
mod profiles;
mod properties;
mod words;
mod world;
