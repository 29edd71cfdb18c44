//! The way to GitHub's API: straight, or through a proxy that is asked for a tunnel (CONNECT).

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{HeaderValue, Uri, header::USER_AGENT};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::{
        legacy::{
            Client,
            connect::{HttpConnector, proxy::Tunnel},
        },
        proxy::matcher::Matcher,
    },
    rt::{TokioExecutor, TokioIo},
};
use octocrab::{
    AuthState, OctoBody, Octocrab, OctocrabBuilder,
    service::middleware::{base_uri::BaseUriLayer, extra_headers::ExtraHeadersLayer},
};
use tokio::net::TcpStream;
use tower_service::Service;

use crate::config::{GithubConfig, given};

/// Never asked for through a proxy.
const LOOPBACK: &str = "localhost,127.0.0.0/8,::1";

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// A client of the server at `base`; `Err` says what is wrong with the addresses.
pub(super) fn client(base: &str, config: &GithubConfig) -> Result<Octocrab, String> {
    let base: Uri = base.parse().map_err(|error| format!("{error}"))?;
    if base.host().is_none() || !matches!(base.scheme_str(), Some("https" | "http")) {
        return Err("it is no https:// or http:// address".to_owned());
    }
    let secured =
        HttpsConnectorBuilder::new().with_provider_and_native_roots(rustls::crypto::ring::default_provider());
    let secured = secured.map_err(|error| format!("the system's certificates cannot be read: {error}"))?;
    let connector: HttpsConnector<Way> =
        secured.https_or_http().enable_http1().wrap_connector(Way::of(config));
    let client: Client<_, OctoBody> = Client::builder(TokioExecutor::new()).build(connector);
    let agent = HeaderValue::from_static(concat!("claude-cluster/", env!("CARGO_PKG_VERSION")));
    let built = OctocrabBuilder::new_empty()
        .with_service(client)
        .with_layer(&ExtraHeadersLayer::new(Arc::new(vec![(USER_AGENT, agent)])))
        .with_layer(&BaseUriLayer::new(base))
        .with_auth(AuthState::None)
        .build();
    Ok(built.unwrap_or_else(|never| match never {}))
}

/// Makes connections.
#[derive(Clone)]
struct Way {
    direct: HttpConnector,
    proxies: Arc<Matcher>,
}

impl Way {
    fn of(config: &GithubConfig) -> Self {
        let mut direct = HttpConnector::new();
        // What TLS goes over is no http:// address.
        direct.enforce_http(false);
        let no = format!("{LOOPBACK},{}", config.no_proxy);
        let proxy = given(&config.proxy).unwrap_or_default();
        Self { direct, proxies: Arc::new(Matcher::builder().all(proxy).no(no).build()) }
    }
}

impl Service<Uri> for Way {
    type Response = TokioIo<TcpStream>;
    type Error = Failed;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Failed>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        self.direct.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let Some(proxy) = self.proxies.intercept(&to) else {
            let connecting = self.direct.call(to);
            return Box::pin(async { Ok(connecting.await?) });
        };
        let mut tunnel = Tunnel::new(proxy.uri().clone(), self.direct.clone());
        if let Some(authorization) = proxy.basic_auth() {
            tunnel = tunnel.with_auth(authorization.clone());
        }
        let connecting = tunnel.call(with_port(to));
        Box::pin(async {
            connecting
                .await
                .map_err(|error| format!("the proxy (github.proxy) does not let us through: {error}").into())
        })
    }
}

/// A tunnel to an address without a port leads to that of HTTPS.
fn with_port(to: Uri) -> Uri {
    let Some(host) = to.host().filter(|_| to.port().is_none() && to.scheme_str() == Some("http")) else {
        return to;
    };
    let named = Uri::builder().scheme("http").authority(format!("{host}:80")).path_and_query("/");
    named.build().unwrap_or(to)
}
