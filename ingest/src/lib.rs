//! GitHub webhooks become tasks on the queue.

pub mod classify;
mod event;
mod hidden_text;
mod secret;
mod signature;
mod trigger;
mod trust;
