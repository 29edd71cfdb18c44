//! Whole runs on real parts: git, bubblewrap, processes, and agents that are small shell scripts.

mod claude;
mod confinement;
mod interrupts;
mod leftovers;
mod outcomes;
mod process_mode;
mod publishing;
mod stage;
