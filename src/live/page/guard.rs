//! Access control: who may see the page, and whose posts are accepted.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header, uri::Authority};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use secrecy::{ExposeSecret, SecretString};

use super::{Context, PageError, html};

/// The shortest token accepted from outside: 16 random letters and digits are not guessed over a network.
const TOKEN_CHARS_MIN: usize = 16;
/// The time for a form to arrive and to be carried out.
const POST_WITHIN: Duration = Duration::from_secs(30);
/// What the browser says in `Sec-Fetch-Site` for the page's own posts.
const SAME_ORIGIN: &[u8] = b"same-origin";

/// Everything is loaded from here only, no script but the page's own runs, no other page frames it, and forms post only here.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; form-action 'self'; \
                      base-uri 'none'; frame-ancestors 'none'";

/// A secret of this process, or the operator's. Compared in constant time.
pub(super) struct Key(SecretString);

/// What a client needs to see the page.
#[derive(Debug)]
pub(super) enum Gate {
    /// Nothing: the page is on loopback, and the kernel says whose each connection is.
    Loopback,
    /// The token, or the cookie that it was exchanged for.
    Token {
        token: Key,
        cookie: Key,
        /// The operator has it already.
        given: bool,
    },
}

/// Where a connection comes from, and whether it belongs to the user who started the run (or to root).
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer {
    pub(super) address: IpAddr,
    pub(super) is_ours: bool,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}

impl Key {
    /// 128 bits from the system's random source.
    pub(super) fn random() -> Result<Key, PageError> {
        let mut bits = [0; 16];
        getrandom::fill(&mut bits).map_err(|_| PageError::NoRandom)?;
        Ok(Key(format!("{:032x}", u128::from_be_bytes(bits)).into()))
    }

    pub(super) fn text(&self) -> &str {
        self.0.expose_secret()
    }

    /// The time it takes does not reveal where they differ: digests are compared, in constant time.
    pub(super) fn is(&self, other: &str) -> bool {
        blake3::hash(self.text().as_bytes()) == blake3::hash(other.as_bytes())
    }
}

impl Gate {
    /// A token that is `given` counts on loopback as well. Where the kernel does not say whose a connection is
    /// (`peers_are_known`), one is needed there too: any user of this machine could be at the other end.
    pub(super) fn new(
        address: SocketAddr,
        given: Option<SecretString>,
        peers_are_known: bool,
    ) -> Result<Gate, PageError> {
        let (token, given) = match given {
            Some(given) if given.expose_secret().chars().count() < TOKEN_CHARS_MIN => {
                return Err(PageError::ShortToken);
            }
            Some(given) => (Key(given), true),
            None if address.ip().is_loopback() && peers_are_known => return Ok(Gate::Loopback),
            None => (Key::random()?, false),
        };
        Ok(Gate::Token { token, cookie: Key::random()?, given })
    }

    fn opens(&self, headers: &HeaderMap, port: u16) -> bool {
        let Gate::Token { token, cookie, .. } = self else { return true };
        let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let bearer = bearer.and_then(|value| value.strip_prefix("Bearer "));
        let cookies = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
        let name = cookie_name(port);
        let mut ours = cookies
            .flat_map(|cookies| cookies.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .filter(|(key, _)| *key == name);
        bearer.is_some_and(|bearer| token.is(bearer.trim())) || ours.any(|(_, value)| cookie.is(value))
    }

    /// The answer to a token: the cookie, where it is the right one. The page is opened without it in its address.
    pub(super) fn exchange(&self, offered: &str, port: u16) -> Option<Response> {
        let Gate::Token { token, cookie, .. } = self else { return None };
        if !token.is(offered.trim()) {
            return None;
        }
        let cookie = format!("{}={}; HttpOnly; SameSite=Strict; Path=/", cookie_name(port), cookie.text());
        let mut response = Redirect::to("/").into_response();
        response.headers_mut().insert(header::SET_COOKIE, HeaderValue::from_str(&cookie).ok()?);
        Some(response)
    }
}

/// A cookie belongs to a host whatever the port, so two pages of one host need two names.
fn cookie_name(port: u16) -> String {
    format!("runner_{port}")
}

/// The middleware of every request and response.
pub(super) async fn guard(State(page): State<Context>, request: Request, next: Next) -> Response {
    let is_post = request.method() == Method::POST;
    let mut response = match admit(&page, &request) {
        // A client that sends a form byte by byte is cut off; others wait for a commit of the ledger.
        Ok(()) if is_post => tokio::time::timeout(POST_WITHIN, next.run(request))
            .await
            .unwrap_or_else(|_| StatusCode::REQUEST_TIMEOUT.into_response()),
        Ok(()) => next.run(request).await,
        Err(refusal) => *refusal,
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // With none at all the browser would not say where its own form comes from.
        (header::REFERRER_POLICY, "same-origin"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    response
}

fn admit(page: &Context, request: &Request) -> Result<(), Box<Response>> {
    let headers = request.headers();
    let refused = |why: &'static str| Box::new((StatusCode::FORBIDDEN, format!("{why}\n")).into_response());
    let peer = request.extensions().get::<Peer>();
    if matches!(page.gate, Gate::Loopback) && !peer.is_some_and(|peer| peer.is_ours) {
        return Err(refused("this page is for the user who started the run; others need RUNNER_PAGE_TOKEN to be set"));
    }
    let Some(host) = host(headers) else {
        return Err(refused("the Host is missing, or given twice"));
    };
    if !page.is_ours(&host) {
        return Err(refused("the Host is no address of this page; open it by its address, or as localhost"));
    }
    if request.method() == Method::POST && !is_from(headers, &host) {
        return Err(refused("this does not come from the page itself"));
    }
    let port = page.address.port();
    let path = request.uri().path();
    if page.gate.opens(headers, port) || matches!(path, "/page.css" | "/token") {
        return Ok(());
    }
    if path != "/" {
        let mut response = (StatusCode::UNAUTHORIZED, "the token is missing or wrong\n").into_response();
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        return Err(Box::new(response));
    }
    let offered = offered(request.uri());
    let exchanged = offered.as_deref().and_then(|offered| page.gate.exchange(offered, port));
    Err(Box::new(exchanged.unwrap_or_else(|| html::ask_for_token(&page.words(headers), offered.is_some()))))
}

/// The token in the address: only the printed link has it there.
fn offered(uri: &Uri) -> Option<String> {
    let query = uri.query()?;
    query.split('&').find_map(|pair| pair.strip_prefix("token=")).map(str::to_owned)
}

/// The one Host that a request names.
fn host(headers: &HeaderMap) -> Option<Authority> {
    let mut hosts = headers.get_all(header::HOST).into_iter();
    let host: Authority = hosts.next()?.to_str().ok()?.parse().ok()?;
    // Nothing before it, nothing between it and its port.
    let port = host.port().map(|port| format!(":{port}")).unwrap_or_default();
    let is_whole = host.as_str() == format!("{}{port}", host.host());
    (is_whole && hosts.next().is_none()).then_some(host)
}

/// Whether the browser says that this post comes from the page: other pages have another Origin, and cannot forge it.
fn is_from(headers: &HeaderMap, host: &Authority) -> bool {
    let site = headers.get("sec-fetch-site");
    let origin = headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok());
    let same =
        |origin: &str| origin.strip_prefix("http://").is_some_and(|from| from.eq_ignore_ascii_case(host.as_str()));
    site.is_none_or(|site| site.as_bytes() == SAME_ORIGIN) && origin.is_some_and(same)
}

/// Whether a name means this machine to every resolver, or is one that it has itself. An address cannot be rebound, and
/// the name of a hostile page is none of these.
pub(super) fn is_own_name(host: &str, own: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.parse::<IpAddr>().is_ok()
        || host.eq_ignore_ascii_case("localhost")
        || (!own.is_empty() && host.eq_ignore_ascii_case(own))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_cannot_be_rebound_are_this_pages() {
        for (host, is_own) in [
            ("127.0.0.1", true),
            ("[::1]", true),
            ("localhost", true),
            ("LOCALHOST", true),
            ("10.0.0.7", true),
            ("batch-7", true),
            ("evil.example", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("batch-7.evil.example", false),
            ("", false),
        ] {
            assert_eq!(is_own_name(host, "batch-7"), is_own, "{host}");
        }
        assert!(!is_own_name("", ""));
    }

    #[test]
    fn a_token_is_demanded_beyond_loopback_and_must_not_be_short() {
        let gate =
            |address: &str, token: Option<&str>| Gate::new(address.parse().unwrap(), token.map(Into::into), true);
        assert!(matches!(gate("127.0.0.1:1", None), Ok(Gate::Loopback)));
        assert!(matches!(gate("[::1]:1", None), Ok(Gate::Loopback)));
        assert!(matches!(gate("0.0.0.0:1", None), Ok(Gate::Token { given: false, .. })));
        assert!(matches!(gate("127.0.0.1:1", Some("0123456789abcdef")), Ok(Gate::Token { given: true, .. })));
        let unknown = Gate::new("127.0.0.1:1".parse().unwrap(), None, false);
        assert!(matches!(unknown, Ok(Gate::Token { given: false, .. })), "any user of this machine could be there");
        assert!(matches!(gate("0.0.0.0:1", Some("short")), Err(PageError::ShortToken)));
        let (one, other) = (Key::random().unwrap(), Key::random().unwrap());
        assert!(one.text().len() == 32 && one.is(one.text()) && !one.is(other.text()) && !one.is(""));
        assert_eq!(format!("{one:?}"), "Key");
    }
}
