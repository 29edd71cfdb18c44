//! This machine's clock, for saying how long ago something was. Nothing is decided by it.

use std::time::{SystemTime, UNIX_EPOCH};

use shared::lifecycle::UnixMs;

pub fn now() -> UnixMs {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as UnixMs)
}
