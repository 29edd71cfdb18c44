//! Bodies and connections that are too large, too many or too slow.

use std::time::Duration;

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout},
};

use crate::{
    client::{Delivery, get},
    ingester::Ingester,
    webhook::payload::{self, with},
};

const MIB: usize = 1 << 20;

#[tokio::test]
async fn thirty_megabytes_are_too_large_with_and_without_an_announced_length() {
    let ingester = Ingester::start().await;
    let delivery = Delivery { signature: None, ..Delivery::new("issues", vec![b' '; 30 * MIB]) };
    let announced = delivery.post(ingester.address).await;
    assert_eq!((announced.status, announced.text("type")), (413, "urn:claude-cluster:body-too-large"));
    let chunked = delivery.post_chunked(ingester.address, 64 * 1_024).await;
    assert_eq!(chunked.status, 413, "the size comes before the signature");
    ingester.stop().await;
}

#[tokio::test]
async fn a_client_that_asks_before_it_sends_is_answered_before_it_sends() {
    let ingester = Ingester::start().await;
    let delivery =
        Delivery { more_headers: "Expect: 100-continue\r\n".to_owned(), ..Delivery::new("issues", "") };
    let mut stream = TcpStream::connect(ingester.address).await.unwrap();
    stream.write_all(delivery.head("Content-Length: 30000000").as_bytes()).await.unwrap();
    let mut answer = String::new();
    let began = Instant::now();
    timeout(Duration::from_secs(5), stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(began.elapsed() < Duration::from_secs(2));
    ingester.stop().await;
}

#[tokio::test]
async fn a_body_up_to_the_limit_is_taken_in_any_pieces() {
    let ingester = Ingester::start_with(|config| config.ingest.body_bytes_max = 100_000).await;
    let body = |number: u64, bytes: usize| {
        let mut body = with(payload::opened(), &[("/issue/number", json!(number))]).to_string().into_bytes();
        body.resize(bytes, b' ');
        body
    };
    assert_eq!(Delivery::new("issues", body(1, 100_000)).post(ingester.address).await.status, 202);
    assert_eq!(Delivery::new("issues", body(2, 100_000)).post_chunked(ingester.address, 7).await.status, 202);
    assert_eq!(Delivery::new("issues", body(3, 100_001)).post(ingester.address).await.status, 413);
    assert_eq!(
        Delivery::new("issues", body(4, 100_001)).post_chunked(ingester.address, 999).await.status,
        413
    );
    ingester.stop().await;
}

#[tokio::test]
async fn many_stalled_clients_do_not_keep_others_out() {
    let ingester = Ingester::start().await;
    let stalled_body = Delivery::new("issues", "").head("Content-Length: 20000000");
    let mut stalled = Vec::new();
    for i in 0..200 {
        let mut stream = TcpStream::connect(ingester.address).await.unwrap();
        let begun = if i % 2 == 0 { stalled_body.as_str() } else { "POST /webhook/github HT" };
        stream.write_all(begun.as_bytes()).await.unwrap();
        stalled.push(stream);
    }
    assert_eq!(Delivery::json("issues", &payload::opened()).post(ingester.address).await.status, 202);
    assert_eq!(get(ingester.address, "/health").await.status, 200);
    drop(stalled);
    ingester.stop().await;
}

#[tokio::test]
async fn a_body_that_breaks_off_makes_no_task() {
    let ingester = Ingester::start().await;
    let delivery = Delivery::json("issues", &payload::opened());
    let mut stream = TcpStream::connect(ingester.address).await.unwrap();
    let head = delivery.head(&format!("Content-Length: {}", delivery.body.len()));
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&delivery.body[..delivery.body.len() - 1]).await.unwrap();
    drop(stream);
    assert_eq!(get(ingester.address, "/ready").await.status, 200);
    assert_eq!(ingester.pending().await, 0);
    ingester.stop().await;
}
