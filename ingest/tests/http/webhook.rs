//! `POST /webhook/github`.

mod answers;
mod gate;
mod limits;
mod mutations;
mod outages;
mod payload;
mod start;
