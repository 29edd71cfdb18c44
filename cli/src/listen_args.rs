//! Where the ingester listens.

use std::net::SocketAddr;

use clap::Args;
use shared::config::Override;

/// What `ingest` and `up` have in common.
#[derive(Clone, Debug, Args)]
pub struct ListenArgs {
    /// Address and port for webhooks; ingest.listen.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Address and port of the HTTP API, '' for none; api.listen.
    #[arg(long, value_name = "ADDRESS")]
    api_listen: Option<String>,
}

impl ListenArgs {
    pub fn overrides(&self) -> Vec<Override> {
        let webhooks =
            self.listen.map(|address| Override::text("--listen", "ingest.listen", address.to_string()));
        let api = self.api_listen.iter().map(|address| Override::text("--api-listen", "api.listen", address));
        webhooks.into_iter().chain(api).collect()
    }

    /// As arguments of another process of this program.
    pub fn arguments(&self) -> Vec<String> {
        let webhooks = self.listen.map(|address| format!("--listen={address}"));
        let api = self.api_listen.iter().map(|address| format!("--api-listen={address}"));
        webhooks.into_iter().chain(api).collect()
    }
}
