//! `POST /webhook/github`.

mod answers;
mod commands;
mod gate;
mod life;
mod limits;
mod outages;
pub mod payload;
mod permissions;
mod start;
