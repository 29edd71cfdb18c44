//! Reads a request's body within limits of size, time, and memory for all bodies together.

use std::{pin::pin, sync::Arc, time::Duration};

use futures_util::{Stream, StreamExt};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use warp::{
    Buf,
    http::{
        HeaderMap, StatusCode,
        header::{CONTENT_LENGTH, CONTENT_TYPE, EXPECT},
    },
};

/// How long a body may take to arrive. GitHub gives the whole exchange ten seconds.
const ARRIVAL_TIME: Duration = Duration::from_secs(10);

/// How long, and how many times the limit, of a body that is too large is thrown away before the answer.
/// A client that still sends when the connection closes would not see the answer.
const DISCARD_TIME: Duration = Duration::from_secs(3);
const DISCARD_FACTOR: usize = 2;

/// So many bodies of full size may be in memory at a time; of GitHub's usual ones, thousands.
const FULL_BODIES_MAX: usize = 4;

/// Memory is counted in pieces of so many bytes.
const PIECE_BYTES: usize = 1_024;

/// Why there is no whole body.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    #[error("the body is larger than the limit of {bytes_max} bytes")]
    TooLarge { bytes_max: usize },
    #[error("the body did not arrive within {seconds} s")]
    TooSlow { seconds: u64 },
    #[error("the body broke off")]
    BrokenOff,
    #[error("too many requests are being received at once")]
    Busy,
}

impl BodyError {
    pub fn status(&self) -> StatusCode {
        match self {
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::BrokenOff => StatusCode::BAD_REQUEST,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The last part of the problem's type.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "body-too-large",
            Self::TooSlow { .. } => "body-too-slow",
            Self::BrokenOff => "body-broken-off",
            Self::Busy => "busy",
        }
    }
}

/// Reads bodies. Clones share one memory limit.
#[derive(Clone)]
pub struct Bodies {
    bytes_max: usize,
    arrival_time: Duration,
    memory: Arc<Semaphore>,
}

/// A whole body; its share of the memory is free again when it is dropped.
pub struct Body {
    bytes: Vec<u8>,
    memory: Option<OwnedSemaphorePermit>,
}

impl Body {
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn append(&mut self, chunk: &[u8], memory: &Arc<Semaphore>) -> Result<(), BodyError> {
        let held = self.memory.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let needed = (self.bytes.len() + chunk.len()).div_ceil(PIECE_BYTES) - held;
        // Never waits for memory: a body that waited would hold what others wait for.
        let more = Arc::clone(memory)
            .try_acquire_many_owned(u32::try_from(needed).map_err(|_| BodyError::Busy)?)
            .map_err(|_| BodyError::Busy)?;
        match &mut self.memory {
            Some(permit) => permit.merge(more),
            none => *none = Some(more),
        }
        self.bytes.extend_from_slice(chunk);
        Ok(())
    }
}

impl Bodies {
    /// Bodies of at most `bytes_max` bytes.
    pub fn new(bytes_max: u64) -> Self {
        let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
        let pieces = bytes_max.div_ceil(PIECE_BYTES).saturating_mul(FULL_BODIES_MAX);
        let memory = Arc::new(Semaphore::new(pieces.clamp(1, Semaphore::MAX_PERMITS)));
        Self { bytes_max, arrival_time: ARRIVAL_TIME, memory }
    }

    /// The whole body; `observe` sees every byte as it arrives.
    ///
    /// # Errors
    /// [`BodyError::TooLarge`], [`BodyError::TooSlow`], [`BodyError::BrokenOff`], or [`BodyError::Busy`]
    /// when other bodies hold the memory.
    pub async fn read<B: Buf, E>(
        &self,
        headers: &HeaderMap,
        stream: impl Stream<Item = Result<B, E>>,
        observe: impl FnMut(&[u8]),
    ) -> Result<Body, BodyError> {
        let mut stream = pin!(stream);
        let too_large = BodyError::TooLarge { bytes_max: self.bytes_max };
        if announced_bytes(headers).is_some_and(|bytes| bytes > self.bytes_max as u64) {
            // A client that asked first has sent nothing, and sends nothing after this answer.
            if !headers.contains_key(EXPECT) {
                self.discard(stream).await;
            }
            return Err(too_large);
        }
        match timeout(self.arrival_time, self.collect(&mut stream, observe)).await {
            Ok(Err(BodyError::TooLarge { .. })) => {
                self.discard(stream).await;
                Err(too_large)
            }
            Ok(read) => read,
            Err(_) => Err(BodyError::TooSlow { seconds: self.arrival_time.as_secs() }),
        }
    }

    async fn collect<B: Buf, E>(
        &self,
        mut stream: impl Stream<Item = Result<B, E>> + Unpin,
        mut observe: impl FnMut(&[u8]),
    ) -> Result<Body, BodyError> {
        let mut body = Body { bytes: Vec::new(), memory: None };
        while let Some(data) = stream.next().await {
            let mut data = data.map_err(|_| BodyError::BrokenOff)?;
            if body.bytes.len() + data.remaining() > self.bytes_max {
                return Err(BodyError::TooLarge { bytes_max: self.bytes_max });
            }
            while data.has_remaining() {
                let chunk = data.chunk();
                observe(chunk);
                body.append(chunk, &self.memory)?;
                let length = chunk.len();
                data.advance(length);
            }
        }
        Ok(body)
    }

    /// Takes what still comes, within limits, so that its sender can hear the answer.
    pub async fn discard<B: Buf, E>(&self, stream: impl Stream<Item = Result<B, E>>) {
        let mut stream = pin!(stream);
        let mut bytes_left = self.bytes_max.saturating_mul(DISCARD_FACTOR);
        let reading = async {
            while let Some(Ok(data)) = stream.next().await {
                bytes_left = bytes_left.saturating_sub(data.remaining());
                if bytes_left == 0 {
                    break;
                }
            }
        };
        // Late or early, the answer is the same.
        let _ = timeout(DISCARD_TIME, reading).await;
    }
}

/// Whether the body is said to be JSON. A page in a browser can post any other type unasked.
pub fn is_json(headers: &HeaderMap) -> bool {
    let given = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    given.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
}

fn announced_bytes(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, io};

    use futures_util::stream;

    use super::*;

    fn chunks(sizes: &[usize]) -> impl Stream<Item = Result<&'static [u8], Infallible>> {
        static ZEROS: [u8; 4_096] = [0; 4_096];
        stream::iter(sizes.iter().map(|size| Ok(&ZEROS[..*size])))
    }

    async fn read(bodies: &Bodies, sizes: &[usize]) -> Result<Body, BodyError> {
        bodies.read(&HeaderMap::new(), chunks(sizes), |_| ()).await
    }

    #[tokio::test]
    async fn a_body_of_exactly_the_limit_is_read_and_one_byte_more_is_not() {
        let bodies = Bodies::new(3_000);
        assert_eq!(read(&bodies, &[1_000, 2_000]).await.map_err(|_| ()).unwrap().bytes().len(), 3_000);
        assert!(matches!(read(&bodies, &[1_000, 2_000, 1]).await, Err(BodyError::TooLarge { .. })));
    }

    #[tokio::test]
    async fn memory_is_shared_and_given_back() {
        let bodies = Bodies::new(4_096);
        let mut held = Vec::new();
        for _ in 0..FULL_BODIES_MAX {
            held.push(read(&bodies, &[1, 4_095]).await.map_err(|_| ()).unwrap());
        }
        assert!(matches!(read(&bodies, &[1]).await, Err(BodyError::Busy)));
        held.pop();
        assert!(read(&bodies, &[4_096]).await.is_ok());
    }

    #[tokio::test]
    async fn many_tiny_chunks_take_no_more_memory_than_one_large() {
        let bodies = Bodies::new(2_048);
        let body = read(&bodies, &[1; 2_048]).await.map_err(|_| ()).unwrap();
        assert_eq!(body.memory.as_ref().unwrap().num_permits(), 2);
    }

    #[tokio::test]
    async fn a_body_that_stops_arriving_is_given_up() {
        let stalled = stream::pending::<Result<&[u8], io::Error>>();
        let bodies = Bodies { arrival_time: Duration::from_millis(20), ..Bodies::new(10) };
        let answer = bodies.read(&HeaderMap::new(), stalled, |_| ()).await;
        assert!(matches!(answer, Err(BodyError::TooSlow { .. })));
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_told_apart() {
        let broken = stream::iter([Ok(&b"{"[..]), Err(io::Error::other("reset"))]);
        let answer = Bodies::new(10).read(&HeaderMap::new(), broken, |_| ()).await;
        assert!(matches!(answer, Err(BodyError::BrokenOff)));
    }
}
