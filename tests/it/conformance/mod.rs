//! What the OTLP specification says of requests and their answers, as a table: each row is sent over every
//! protocol that it applies to, in green and in red, and must get the same answer and arrive the same. What it says of
//! clients is a second table (`out`), for what the sink sends.

mod build;
mod out;
mod rows;
mod run;
