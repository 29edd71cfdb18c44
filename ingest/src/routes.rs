//! What is served where.

use std::{convert::Infallible, sync::Arc};

use warp::{
    Filter, Reply,
    filters::BoxedFilter,
    http::{HeaderMap, Method},
    reply::Response,
};

use crate::{health, rejection::Rejection, webhook::Webhook};

/// Every path matches by itself and answers wrong methods itself, so that the only rejection left to the
/// framework is a path that does not exist.
pub fn routes(webhook: Arc<Webhook>) -> BoxedFilter<(Response,)> {
    let gate = Arc::clone(&webhook.gate);
    let measured = Arc::clone(&webhook.gate);
    let deliveries = warp::path!("webhook" / "github")
        .and(warp::method())
        .and(warp::header::headers_cloned())
        .and(warp::body::stream())
        .then(move |method: Method, headers: HeaderMap, body| {
            let webhook = Arc::clone(&webhook);
            async move {
                if method != Method::POST {
                    return Rejection::NoSuchMethod { allow: "POST" }.into_response();
                }
                webhook.receive(&headers, body).await
            }
        });
    let health = warp::path!("health").and(warp::method()).then(async |method: Method| match method {
        Method::GET | Method::HEAD => health::health(),
        _ => Rejection::NoSuchMethod { allow: "GET, HEAD" }.into_response(),
    });
    let ready = warp::path!("ready").and(warp::method()).then(move |method: Method| {
        let gate = Arc::clone(&gate);
        async move {
            match method {
                Method::GET | Method::HEAD => {
                    health::ready(gate.queue.clone(), gate.permissions.rate()).await
                }
                _ => Rejection::NoSuchMethod { allow: "GET, HEAD" }.into_response(),
            }
        }
    });
    let metrics = warp::path!("metrics").and(warp::method()).then(move |method: Method| {
        let answer = match method {
            Method::GET | Method::HEAD => health::metrics(measured.permissions.rate()),
            _ => Rejection::NoSuchMethod { allow: "GET, HEAD" }.into_response(),
        };
        async move { answer }
    });
    let unknown = async |_: warp::Rejection| Ok::<_, Infallible>(Rejection::NoSuchPath.into_response());
    let told = health.or(ready).unify().or(metrics).unify();
    deliveries.or(told).unify().recover(unknown).unify().boxed()
}
