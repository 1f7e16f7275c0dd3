//! Connections of the page: their number, sizes and times are bounded.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Extension;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::guard::Peer;
use super::peer::is_ours;
use crate::live::LAST_LOOK;

/// Connections at once; a browser opens six.
const CONNECTIONS_MAX: usize = 64;
/// For a request's head, and between two requests of a connection.
const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// The longest head.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// A connection is closed after this time; an open page then opens another.
const CONNECTION_LASTS: Duration = Duration::from_mins(10);
/// After a connection could not be accepted; most often the process has no more file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Accepts connections until `close` is cancelled and the end is not `awaited` by somebody who comes anew, and then
/// gives open ones a moment to finish.
pub(super) async fn serve(
    listener: TcpListener,
    own: SocketAddr,
    router: Router,
    close: CancellationToken,
    mut awaited: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    let mut closes = std::pin::pin!(async {
        close.cancelled().await;
        let _ = tokio::time::timeout(LAST_LOOK, awaited.wait_for(|awaited| !awaited)).await;
    });
    loop {
        tokio::select! {
            () = closes.as_mut() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    // A client beyond the limit is not waited for.
                    if let Ok(place) = Arc::clone(&places).try_acquire_owned() {
                        let (router, close) = (router.clone(), close.clone());
                        connections.spawn(async move {
                            converse(stream, peer, own, router, close).await;
                            drop(place);
                        });
                    }
                }
                Err(error) => {
                    tracing::debug!(?error, "the page could not accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    let ends = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(LAST_LOOK, ends).await;
}

async fn converse(stream: TcpStream, peer: SocketAddr, own: SocketAddr, router: Router, close: CancellationToken) {
    // The address that was connected to: `own` may be that of every interface.
    let own = stream.local_addr().unwrap_or(own);
    let is_ours = peer.ip().is_loopback() && is_ours(peer, own);
    let router = router.layer(Extension(Peer { address: peer.ip().to_canonical(), is_ours }));
    // Told to end before its first request, a connection would not answer that one either.
    let is_late = close.is_cancelled();
    let mut connection = std::pin::pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_WITHIN)
            .max_buf_size(HEAD_BYTES_MAX)
            .keep_alive(!is_late)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
    );
    let lasts = tokio::time::sleep(CONNECTION_LASTS);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = close.cancelled(), if !is_late => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
        () = lasts => return,
    };
    if let Err(error) = ended {
        tracing::debug!(?error, "a connection to the page broke off");
    }
}
