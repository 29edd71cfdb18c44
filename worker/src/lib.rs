//! Claims tasks, runs the coding agent and the tests in an isolated workspace, publishes the result.

pub mod run;
