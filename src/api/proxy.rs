//! The proxy on the way to the service, if the environment names one.
//!
//! It is determined here, once, and passed to the client, so that the plan, the ledger and the reports name the proxy
//! that is used. A user name and password in its URL are for the proxy alone: they are never shown, logged or
//! recorded.

use std::ffi::OsString;
use std::fmt;
use std::time::Duration;

use hyper::Uri;
use hyper_util::client::proxy::matcher::Matcher;
use reqwest::Url;
use reqwest::header::HeaderValue;

use super::endpoint::{ApiMethod, Endpoint};

/// How long a proxy may hold a request that it has accepted and still pass it on, although nobody waits for it any
/// more.
///
/// To the kernel those bytes have been delivered, so a timeout there says nothing. A proxy closes its connection to
/// the service when ours is gone, but its kernel keeps sending what it has written by then for 102 s (Linux, with the
/// default `tcp_orphan_retries`). A proxy that inspects the traffic may first wait for its own connection to the
/// service, usually for a minute at most. The rest allows for transit.
pub const KEEPS_MAX: Duration = Duration::from_mins(2);

/// Variables that name a proxy, in order: the first that is set counts.
const VARIABLES: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
/// Variables that name hosts to call without a proxy.
const EXCEPTIONS: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// An HTTP proxy.
#[derive(Clone)]
pub struct Proxy {
    /// Without user name and password.
    url: Url,
    authorization: Option<HeaderValue>,
}

/// Why the proxy that a variable names cannot be used. The value is not repeated: it may hold a password.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    /// The value is not the URL of an HTTP proxy.
    #[error(
        "{0}: it is not the URL of an HTTP proxy; write it like http://proxy.example.com:3128, with USER:PASSWORD@ before the \
         host where the proxy wants them (and %40 for @, %2F for /, %3F for ? and %23 for # in the password), or leave it \
         empty for none"
    )]
    NotAUrl(&'static str),
    /// The value names a SOCKS proxy, which is not supported.
    #[error("{0}: a SOCKS proxy cannot be used; name an HTTP proxy, or leave it empty for none")]
    Socks(&'static str),
}

impl Proxy {
    /// Returns the proxy for this endpoint, or `None` to call the service directly. `given` returns the value of a
    /// variable, if it is set.
    ///
    /// This machine is never called through a proxy: plain `http` would show the signature to the proxy, and to the
    /// proxy, "this machine" is another one.
    ///
    /// # Errors
    /// The environment names a proxy that cannot be used.
    pub fn find(
        endpoint: &Endpoint,
        given: impl Fn(&'static str) -> Option<OsString>,
    ) -> Result<Option<Proxy>, ProxyError> {
        let text = |name| Some((name, given(name)?.to_string_lossy().into_owned()));
        let Some((variable, value)) = VARIABLES.into_iter().find_map(text).filter(|(_, value)| !value.is_empty())
        else {
            return Ok(None);
        };
        let exceptions = EXCEPTIONS.into_iter().find_map(text).map(|(_, value)| value).unwrap_or_default();
        let Ok(service) = endpoint.url(ApiMethod::ModifyC2cMsg).as_str().parse::<Uri>() else { return Ok(None) };
        let found = |proxy: &str| Matcher::builder().all(proxy).no(exceptions.as_str()).build().intercept(&service);
        // Whatever the proxy's URL, it is not used for an excepted host.
        if endpoint.is_loopback() || found("http://proxy").is_none() {
            return Ok(None);
        }
        let found = found(&value).ok_or(ProxyError::NotAUrl(variable))?;
        let url = Url::parse(&found.uri().to_string()).map_err(|_| ProxyError::NotAUrl(variable))?;
        match url.scheme() {
            // One `@`, after a user name: with another one, or a `/`, `?` or `#` before it, what seems to be the host is a
            // part of the password.
            "http" | "https" if value.matches('@').count() == usize::from(found.basic_auth().is_some()) => {}
            "http" | "https" => return Err(ProxyError::NotAUrl(variable)),
            _ => return Err(ProxyError::Socks(variable)),
        }
        Ok(Some(Proxy { url, authorization: found.basic_auth().cloned() }))
    }

    /// `host:port`, the only part that is ever shown.
    pub fn address(&self) -> String {
        let port = self.url.port_or_known_default().unwrap_or_default();
        format!("{}:{port}", self.url.host_str().unwrap_or_default())
    }

    /// The same proxy, as the HTTP client takes it.
    ///
    /// # Errors
    /// The client cannot use it.
    pub(super) fn for_client(&self) -> reqwest::Result<reqwest::Proxy> {
        let proxy = reqwest::Proxy::all(self.url.clone())?;
        Ok(match &self.authorization {
            Some(authorization) => proxy.custom_http_auth(authorization.clone()),
            None => proxy,
        })
    }

    /// Why nothing was sent through the proxy, from the chain of causes, outermost first.
    pub(super) fn not_sent_reason(&self, causes: &[String]) -> String {
        let proxy = self.address();
        let cause = causes.last().map(String::as_str).unwrap_or_default();
        // The client has no error type to tell these cases apart, only their messages.
        match causes.iter().find_map(|cause| cause.strip_prefix("tunnel error: ")) {
            Some("proxy authorization required") => format!(
                "the proxy {proxy} refuses to connect to the service: it wants a user name and a password that it knows \
                 (HTTP 407)"
            ),
            Some("unsuccessful") => format!("the proxy {proxy} refuses to connect to the service"),
            Some("failed to create underlying connection") => format!("the proxy {proxy} cannot be reached ({cause})"),
            Some(_) => format!("the proxy {proxy} broke off before there was a connection to the service ({cause})"),
            None => format!("the service cannot be reached through the proxy {proxy} ({cause})"),
        }
    }

    /// Whether such a reason blames the proxy itself, so that no other host of the service would be reached either.
    pub fn is_blamed(&self, reason: &str) -> bool {
        reason.starts_with(&format!("the proxy {} ", self.address()))
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Proxy").field(&self.address()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The proxy for this endpoint in this environment, or what is wrong.
    fn found(endpoint: &str, environment: &[(&str, &str)]) -> Result<Option<String>, ProxyError> {
        let value = |name: &str| environment.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
        let proxy = Proxy::find(&Endpoint::parse(endpoint).unwrap(), value)?;
        Ok(proxy.map(|proxy| proxy.address()))
    }

    const SERVICE: &str = "https://adminapisgp.im.qcloud.com";

    #[test]
    fn the_first_variable_that_is_set_names_the_proxy() {
        let check = |environment: &[(&str, &str)], expected: Option<&str>| {
            assert_eq!(found(SERVICE, environment), Ok(expected.map(str::to_owned)), "{environment:?}");
        };
        check(&[], None);
        check(&[("HTTP_PROXY", "http://a:1"), ("http_proxy", "http://a:1")], None);
        check(&[("HTTPS_PROXY", "http://a:1"), ("https_proxy", "http://b:2")], Some("a:1"));
        check(&[("https_proxy", "http://b:2"), ("ALL_PROXY", "http://c:3")], Some("b:2"));
        check(&[("ALL_PROXY", "http://c:3"), ("all_proxy", "http://d:4")], Some("c:3"));
        check(&[("all_proxy", "d:4")], Some("d:4"));
        check(&[("HTTPS_PROXY", ""), ("https_proxy", "http://b:2"), ("ALL_PROXY", "http://c:3")], None);
        check(&[("HTTPS_PROXY", "http://a")], Some("a:80"));
        check(&[("HTTPS_PROXY", "https://a/path")], Some("a:443"));
        check(&[("HTTPS_PROXY", "http://[::1]:3128")], Some("[::1]:3128"));
        check(&[("HTTPS_PROXY", "http://user:word@a:1")], Some("a:1"));
    }

    #[test]
    fn hosts_that_are_excepted_and_this_machine_have_no_proxy() {
        let check = |endpoint: &str, no: &str, expected: Option<&str>| {
            let environment = [("HTTPS_PROXY", "http://a:1"), ("ALL_PROXY", "http://a:1"), ("NO_PROXY", no)];
            assert_eq!(found(endpoint, &environment), Ok(expected.map(str::to_owned)), "{endpoint} {no}");
        };
        check(SERVICE, "", Some("a:1"));
        check(SERVICE, "qq.com, cloud.com", Some("a:1"));
        for no in ["*", "qcloud.com", ".qcloud.com", "localhost, adminapisgp.im.qcloud.com"] {
            check(SERVICE, no, None);
        }
        check("https://192.0.2.7", "192.0.2.0/24", None);
        for endpoint in ["http://127.0.0.1:8200", "https://localhost:8443", "http://[::1]:8200"] {
            check(endpoint, "", None);
        }
        // An unusable proxy does not matter where it is not used.
        assert_eq!(found(SERVICE, &[("HTTPS_PROXY", "socks5://a:1"), ("no_proxy", "*")]), Ok(None));
    }

    #[test]
    fn what_is_no_proxy_is_named_and_not_repeated() {
        for value in ["http://", "not a url", "ftp://a:1", "/path", "http://a:99999"] {
            assert_eq!(found(SERVICE, &[("https_proxy", value)]), Err(ProxyError::NotAUrl("https_proxy")), "{value}");
        }
        // Once, the first part of such a password was taken for the port, and shown.
        for password in ["key@5", "123/key", "123?key", "123#key", "123@key/5", "/key", "key:5/"] {
            for value in [format!("http://clerk:{password}@a:1"), format!("clerk:{password}@a:1")] {
                let error = found(SERVICE, &[("https_proxy", &value)]).unwrap_err();
                assert_eq!(error, ProxyError::NotAUrl("https_proxy"), "{value}");
                assert!(!["clerk", "123", "key", "a:1"].iter().any(|part| error.to_string().contains(part)), "{error}");
            }
        }
        for value in ["socks5://user:word@a:1", "socks5h://a:1", "socks4://a:1"] {
            assert_eq!(found(SERVICE, &[("ALL_PROXY", value)]), Err(ProxyError::Socks("ALL_PROXY")), "{value}");
        }
    }

    #[test]
    fn a_proxy_is_blamed_for_what_it_does_and_not_for_what_the_service_does() {
        let value = |name: &str| (name == "HTTPS_PROXY").then(|| "http://a:1".into());
        let proxy = Proxy::find(&Endpoint::parse(SERVICE).unwrap(), value).unwrap().unwrap();
        for (cause, expected) in [
            ("tunnel error: proxy authorization required", true),
            ("tunnel error: unsuccessful", true),
            ("tunnel error: failed to create underlying connection", true),
            ("tunnel error: unexpected end of file", true),
            ("no connection in time", false),
        ] {
            assert_eq!(proxy.is_blamed(&proxy.not_sent_reason(&[cause.to_owned()])), expected, "{cause}");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let value = |name: &str| (name == "HTTPS_PROXY").then(|| "http://clerk:secret%40word@a:1".into());
        let proxy = Proxy::find(&Endpoint::parse(SERVICE).unwrap(), value).unwrap().unwrap();
        // `clerk:secret@word`
        assert_eq!(proxy.authorization.as_ref().unwrap(), "Basic Y2xlcms6c2VjcmV0QHdvcmQ=");
        let shown = format!("{proxy:?} {:?} {:?}", proxy.for_client().unwrap(), proxy.authorization);
        assert!(!["clerk", "secret", "Y2xlcms"].iter().any(|part| shown.contains(part)), "{shown}");
    }
}
