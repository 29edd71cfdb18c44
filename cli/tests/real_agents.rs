//! The real coding CLIs, driven by the real program from an issue's text to the pushed branch. Only the models are
//! scripted: stand-ins for their APIs on loopback.
//!
//! `scripts/test --real` fetches the CLIs and names them in `CLAUDE_CLUSTER_TEST_CLAUDE`, `_CODEX` and `_GEMINI`, with
//! the Node for the last in `_NODE`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "real_agents/claude_failures.rs"]
mod claude_failures;
#[path = "real_agents/claude_killed.rs"]
mod claude_killed;
#[path = "real_agents/claude_opinion.rs"]
mod claude_opinion;
#[path = "real_agents/claude_rounds.rs"]
mod claude_rounds;
#[path = "real_agents/codex.rs"]
mod codex;
#[path = "real_agents/gemini.rs"]
mod gemini;
#[path = "commands/home.rs"]
#[expect(dead_code, reason = "shared with the tests of the commands")]
mod home;
#[path = "real_agents/killed.rs"]
mod killed;
#[path = "real_agents/user.rs"]
mod user;
