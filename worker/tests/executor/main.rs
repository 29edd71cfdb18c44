//! Whole runs on real parts: git, bubblewrap, processes, and agents that are small shell scripts.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "these are tests, outside of their functions too"
)]

mod budgets;
mod claude;
mod confinement;
mod github;
mod github_faults;
mod github_stage;
mod hostile;
mod inspection;
mod interrupts;
mod kinds;
mod leftovers;
mod outcomes;
mod process_mode;
mod publishing;
mod pull_requests;
mod second_opinion;
mod stage;
mod submodules;
mod testing;
mod tidying;
mod tools;
