//! `POST /webhook/github`.

mod answers;
mod commands;
mod gate;
mod life;
mod limits;
mod outages;
mod payload;
mod permissions;
mod start;
