//! What the measurements share: accounts of the kernel (CPU, memory), a running `waxseal serve`, and
//! the table at the end with the budgets of DESIGN §10.

pub mod cpu;
pub mod gateway;
pub mod machine;
pub mod memory;
pub mod open_files;
pub mod report;
pub mod server;
pub mod sink;
