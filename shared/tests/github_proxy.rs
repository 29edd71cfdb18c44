//! GitHub's API through a proxy.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{net::SocketAddr, sync::Arc, time::Duration};

use shared::{
    config::{Config, GithubConfig},
    github::{GitHub, Own, Patience},
};
use testkit::{
    ConnectProxy, GitRemote, TestGitHub,
    github::{LOGIN, TOKEN},
};
use tokio::{io::AsyncReadExt, net::TcpListener};

/// `ann:p@ss`, as a proxy is told it.
const AUTHORIZATION: &str = "Basic YW5uOnBAc3M=";

async fn server() -> (TestGitHub, SocketAddr) {
    let server = TestGitHub::start(GitRemote::with_files(&[("a", "a")]).unwrap()).await.unwrap();
    let address = server.git_url().strip_prefix("http://").unwrap().parse().unwrap();
    (server, address)
}

fn config(base_url: &str, proxy: &str) -> GithubConfig {
    let mut config = Config::defaults().unwrap().github;
    config.token = TOKEN.to_owned().into();
    (config.base_url, config.git_base_url) = (base_url.to_owned(), "http://127.0.0.1:9".to_owned());
    config.proxy = proxy.to_owned().into();
    config.timeout_ms = 5_000;
    config
}

/// Who we are there, or what went wrong.
async fn own(config: &GithubConfig) -> Result<Own, String> {
    let github: Arc<GitHub> = GitHub::open(config).unwrap().unwrap();
    let own = github.own(&mut Patience::new(Duration::ZERO)).await;
    own.cloned().map_err(|error| error.to_string())
}

#[tokio::test]
async fn the_api_is_reached_through_the_proxy_which_looks_the_name_up() {
    let (_server, address) = server().await;
    let proxy = ConnectProxy::start(address, Some(AUTHORIZATION)).await.unwrap();
    // Of no meaning to anybody but the proxy.
    let config = config("http://github.invalid/api/v3", &format!("http://ann:p%40ss@{}", proxy.address()));
    assert_eq!(own(&config).await, Ok(Own::Login(LOGIN.to_owned())));
    assert_eq!(proxy.asked(), ["CONNECT github.invalid:80 HTTP/1.1"]);
}

#[tokio::test]
async fn what_goes_through_the_proxy_to_an_https_address_is_encrypted() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = ConnectProxy::start(listener.local_addr().unwrap(), None).await.unwrap();
    let config = config("https://api.github.invalid", &proxy.address().to_string());
    let first = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.read_u8().await.unwrap()
    };
    let (first, answered) = tokio::join!(first, own(&config));
    assert_eq!(first, 0x16, "a TLS handshake begins so");
    assert!(answered.is_err());
    assert_eq!(proxy.asked(), ["CONNECT api.github.invalid:443 HTTP/1.1"]);
}

#[tokio::test]
async fn a_proxy_that_refuses_is_named_without_its_password() {
    let (_server, address) = server().await;
    let proxy = ConnectProxy::start(address, Some(AUTHORIZATION)).await.unwrap();
    let config = config("http://github.invalid/api/v3", &format!("http://ann:wr0ng@{}", proxy.address()));
    let said = own(&config).await.unwrap_err();
    assert!(said.contains("github.proxy") && said.contains("proxy authorization required"), "{said}");
    assert!(!said.contains("wr0ng"), "{said}");
}

#[tokio::test]
async fn this_machine_and_the_hosts_that_are_excepted_are_reached_directly() {
    let (server, address) = server().await;
    let proxy = ConnectProxy::start(address, None).await.unwrap();
    let proxy_url = format!("http://{}", proxy.address());
    let local = config(&server.api_url(), &proxy_url);
    assert!(own(&local).await.is_ok());
    // This machine by an address that does not say so.
    let anywhere = format!("http://0.0.0.0:{}/api/v3", address.port());
    let mut excepted = config(&anywhere, &proxy_url);
    excepted.no_proxy = "example.org, 0.0.0.0/32".to_owned();
    assert!(own(&excepted).await.is_ok());
    assert!(proxy.asked().is_empty(), "{:?}", proxy.asked());
    assert!(own(&config(&anywhere, &proxy_url)).await.is_ok());
    assert_eq!(proxy.asked().len(), 1);
}
