//! Our pages in a real browser: people with a telephone, with a dark screen, without sight.

mod chromium;
mod pages;
mod recorded;
