//! What the organisation demands: rules, exceptions, defaults.
