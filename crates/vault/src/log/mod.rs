//! All segments together: what is durable, who has read how far, what stays and what goes.

pub(crate) mod backlog;
pub(crate) mod cursor;
pub(crate) mod dropped;
mod dropping;
pub(crate) mod holds;
mod patience;
pub(crate) mod pins;
mod retention;
mod succession;
mod trouble;
pub(crate) mod view;
