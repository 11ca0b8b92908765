//! Where mail comes in: sockets, TLS, time limits and sign-in around [`waxseal_core::smtp::server`].

mod submission;

pub use submission::{
    Accept, AcceptError, Client, DkimUnknown, DkimVerifier, NoDkim, Submission, Verification,
};
