//! Facts from a DNS made of a table.
