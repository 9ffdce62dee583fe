//! What the OTLP specification says of requests and their answers, as a table: each row is sent over every
//! protocol that it applies to, in green and in red, and must get the same answer and arrive the same.

mod build;
mod rows;
mod run;
