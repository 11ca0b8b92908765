//! The one integration binary: one module a subject, in alphabetical order.
