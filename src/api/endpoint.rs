//! The address of the service: a region's host, or a given URL.
//!
//! Requests carry a signature that lets its holder act for the whole app, so plain `http` is allowed only to this
//! machine.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use reqwest::Url;

/// A data centre of the service. An app exists in exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Region {
    /// China
    Cn,
    /// Singapore
    Sgp,
    /// Seoul
    Kor,
    /// Frankfurt
    Ger,
    /// Mumbai
    Ind,
    /// Silicon Valley
    Usa,
    /// Tokyo
    Jpn,
    /// Jakarta
    Idn,
}

impl Region {
    /// Every region, in the order of the service's documentation.
    pub const ALL: [Region; 8] =
        [Region::Cn, Region::Sgp, Region::Kor, Region::Ger, Region::Ind, Region::Usa, Region::Jpn, Region::Idn];

    /// The short name that people use for it.
    pub fn word(self) -> &'static str {
        match self {
            Region::Cn => "cn",
            Region::Sgp => "sgp",
            Region::Kor => "kor",
            Region::Ger => "ger",
            Region::Ind => "ind",
            Region::Usa => "usa",
            Region::Jpn => "jpn",
            Region::Idn => "idn",
        }
    }

    /// Its host name.
    pub fn host(self) -> &'static str {
        match self {
            Region::Cn => "console.tim.qq.com",
            Region::Sgp => "adminapisgp.im.qcloud.com",
            Region::Kor => "adminapikr.im.qcloud.com",
            Region::Ger => "adminapiger.im.qcloud.com",
            Region::Ind => "adminapiind.im.qcloud.com",
            Region::Usa => "adminapiusa.im.qcloud.com",
            Region::Jpn => "adminapijpn.im.qcloud.com",
            Region::Idn => "adminapiidn.im.qcloud.com",
        }
    }

    /// The name of its backup host, for when the first cannot be reached: the same service with the same messages.
    /// `None` if none is documented.
    pub fn backup_host(self) -> Option<&'static str> {
        match self {
            Region::Cn => Some("adminapi.my-imcloud.com"),
            Region::Sgp => Some("adminapisgp.my-imcloud.com"),
            Region::Kor => Some("adminapikr.my-imcloud.com"),
            Region::Ger => Some("adminapiger.my-imcloud.com"),
            Region::Ind => Some("adminapiind.my-imcloud.com"),
            Region::Usa => Some("adminapiusa.my-imcloud.com"),
            Region::Idn => Some("adminapiidn.my-imcloud.com"),
            Region::Jpn => None,
        }
    }
}

/// A region and one of its hosts: `sgp`, or `sgp-backup`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RegionHost {
    region: Region,
    host: &'static str,
}

impl RegionHost {
    /// Every host of every region: first the main hosts, then the backup hosts.
    pub fn all() -> impl Iterator<Item = RegionHost> {
        let first = Region::ALL.into_iter().map(|region| RegionHost { region, host: region.host() });
        let second =
            Region::ALL.into_iter().filter_map(|region| Some(RegionHost { region, host: region.backup_host()? }));
        first.chain(second)
    }

    /// The host name.
    pub fn host(self) -> &'static str {
        self.host
    }

    fn is_backup(self) -> bool {
        self.host != self.region.host()
    }
}

impl fmt::Display for RegionHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.region, if self.is_backup() { "-backup" } else { "" })
    }
}

impl FromStr for RegionHost {
    type Err = UnknownRegion;

    fn from_str(text: &str) -> Result<RegionHost, UnknownRegion> {
        RegionHost::all().find(|host| host.to_string() == text).ok_or_else(|| UnknownRegion(text.to_owned()))
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// The text names no region.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no region; use one of cn, sgp, kor, ger, ind, usa, jpn, idn, the same with -backup behind it for the second \
     host (not jpn), or give the service's URL"
)]
pub struct UnknownRegion(String);

/// A method of the service's API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ApiMethod {
    /// Edits one message.
    ModifyC2cMsg,
    /// Reads the messages of a conversation.
    AdminGetRoamMsg,
}

impl ApiMethod {
    /// Every method that this program calls.
    pub const ALL: [ApiMethod; 2] = [ApiMethod::ModifyC2cMsg, ApiMethod::AdminGetRoamMsg];

    /// The method's name, the last part of its path.
    pub fn name(self) -> &'static str {
        match self {
            ApiMethod::ModifyC2cMsg => "modify_c2c_msg",
            ApiMethod::AdminGetRoamMsg => "admin_getroammsg",
        }
    }

    /// The path on the host, with a leading slash.
    pub fn path(self) -> &'static str {
        match self {
            ApiMethod::ModifyC2cMsg => "/v4/openim/modify_c2c_msg",
            ApiMethod::AdminGetRoamMsg => "/v4/openim/admin_getroammsg",
        }
    }
}

/// The validated address of the service: scheme, host and port, nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    base: Url,
}

/// Why a URL cannot be the service's: a fragment that fits after `--endpoint: `.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// It is not a valid URL.
    #[error("not a URL ({reason}); write it like https://adminapisgp.im.qcloud.com")]
    NotAUrl {
        /// What the parser says.
        reason: String,
    },
    /// A scheme other than `http` and `https`.
    #[error("the scheme {scheme:?} cannot carry the API; use https")]
    Scheme {
        /// The scheme that was given.
        scheme: String,
    },
    /// Plain `http` to another machine.
    #[error("plain http would show the signature to everyone on the way to {host}; use https")]
    PlainHttp {
        /// The host that was given.
        host: String,
    },
    /// It has a user name or password. The value is not repeated: it may be a secret.
    #[error("a user name or password has no place in the URL; leave out everything before the @")]
    Credentials,
    /// It has a path other than `/`.
    #[error("it has the path {path:?}; give scheme, host and port only, the program adds the path itself")]
    Path {
        /// The path that was given.
        path: String,
    },
    /// It has a query or fragment. The value is not repeated: it may hold a UserSig.
    #[error("a query or fragment has no place in it; leave out everything from the ? or # on")]
    QueryOrFragment,
}

impl Endpoint {
    /// The endpoint of a region's host.
    pub fn of(host: RegionHost) -> Endpoint {
        Endpoint { base: url_of(host) }
    }

    /// Checks a given URL.
    ///
    /// A path other than `/` is refused instead of kept as a prefix: it is almost always the method's whole URL,
    /// copied from a page, which as a prefix would give a path that does not exist.
    ///
    /// # Errors
    /// What is wrong with it, and what to write instead. Nothing that could be secret is repeated.
    pub fn parse(text: &str) -> Result<Endpoint, EndpointError> {
        let base = Url::parse(text.trim()).map_err(|error| EndpointError::NotAUrl { reason: error.to_string() })?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(EndpointError::Scheme { scheme: base.scheme().to_owned() });
        }
        if !base.username().is_empty() || base.password().is_some() {
            return Err(EndpointError::Credentials);
        }
        if base.query().is_some() || base.fragment().is_some() {
            return Err(EndpointError::QueryOrFragment);
        }
        if base.path() != "/" {
            return Err(EndpointError::Path { path: base.path().to_owned() });
        }
        let endpoint = Endpoint { base };
        if endpoint.base.scheme() == "http" && !endpoint.is_loopback() {
            return Err(EndpointError::PlainHttp { host: endpoint.host().to_owned() });
        }
        Ok(endpoint)
    }

    /// The service's name in the ledger: `host:port`, where both hosts of a region are one service.
    pub fn service(&self) -> String {
        let region = RegionHost::all().find(|known| known.is_backup() && *self == Endpoint::of(*known));
        match region {
            Some(RegionHost { region, .. }) => format!("{}:443", region.host()),
            None => self.host_and_port(),
        }
    }

    /// The name that a ledger of an earlier version may have for the same service: the region's backup host, if this
    /// is one of its hosts.
    pub fn second_service(&self) -> Option<String> {
        let known = RegionHost::all().find(|known| *self == Endpoint::of(*known))?;
        known.region.backup_host().map(|host| format!("{host}:443"))
    }

    /// The name of the region's other host; `None` if this is not a region's host, or the region has no other.
    pub fn other_host(&self) -> Option<String> {
        let ours = RegionHost::all().find(|known| *self == Endpoint::of(*known))?;
        RegionHost::all().find(|known| known.region == ours.region && *known != ours).map(|other| other.to_string())
    }

    /// `host:port`, always with the port.
    pub fn host_and_port(&self) -> String {
        let port = self.base.port_or_known_default().unwrap_or_default();
        format!("{}:{port}", self.host())
    }

    /// Whether it is on this machine: 127.0.0.0/8, `::1` or `localhost`.
    pub fn is_loopback(&self) -> bool {
        let host = self.host();
        let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        match address.parse::<IpAddr>() {
            Ok(address) => address.is_loopback(),
            Err(_) => host == "localhost",
        }
    }

    /// The URL of a method, without its query.
    pub fn url(&self, call: ApiMethod) -> Url {
        let mut url = self.base.clone();
        url.set_path(call.path());
        url
    }

    fn host(&self) -> &str {
        // The schemes that `parse` allows always have a host.
        self.base.host_str().unwrap_or_default()
    }
}

#[expect(clippy::expect_used, reason = "the hosts are constants, and a test parses each of them")]
fn url_of(host: RegionHost) -> Url {
    Url::parse(&format!("https://{}", host.host())).expect("a region's host makes a URL")
}

/// The base URL as a user would type it, without a trailing slash.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.base.as_str().trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_region_has_an_endpoint_and_a_word() {
        for host in RegionHost::all() {
            let endpoint = Endpoint::of(host);
            assert_eq!(endpoint, Endpoint::parse(&format!("https://{}/", host.host())).unwrap());
            assert_eq!(endpoint.host_and_port(), format!("{}:443", host.host()));
            assert_eq!(endpoint.service(), format!("{}:443", host.region.host()), "both hosts are one service");
            assert!(!endpoint.is_loopback());
            assert_eq!(host.to_string().parse(), Ok(host));
        }
        assert_eq!(RegionHost::all().count(), 15);
        let second = |text: &str| Endpoint::parse(text).unwrap().second_service();
        for host in ["adminapisgp.im.qcloud.com", "adminapisgp.my-imcloud.com"] {
            assert_eq!(second(&format!("https://{host}")).as_deref(), Some("adminapisgp.my-imcloud.com:443"));
        }
        assert_eq!((second("https://adminapijpn.im.qcloud.com"), second("https://example.com")), (None, None));
        let other = |word: &str| Endpoint::of(word.parse().unwrap()).other_host();
        assert_eq!(other("sgp").as_deref(), Some("sgp-backup"));
        assert_eq!((other("cn-backup").as_deref(), other("jpn")), (Some("cn"), None));
        let refusal = "eu".parse::<RegionHost>().unwrap_err().to_string();
        for region in Region::ALL {
            assert!(refusal.contains(region.word()), "{refusal}");
        }
    }

    #[test]
    fn a_call_has_its_documented_url() {
        let endpoint = Endpoint::of("sgp".parse().unwrap());
        let url = |call| endpoint.url(call).to_string();
        assert_eq!(url(ApiMethod::ModifyC2cMsg), "https://adminapisgp.im.qcloud.com/v4/openim/modify_c2c_msg");
        assert_eq!(url(ApiMethod::AdminGetRoamMsg), "https://adminapisgp.im.qcloud.com/v4/openim/admin_getroammsg");
        for call in ApiMethod::ALL {
            assert!(call.path().ends_with(call.name()));
        }
    }

    #[test]
    fn plain_http_goes_to_this_machine_only() {
        for (text, host_and_port) in [
            ("http://127.0.0.1:8080", "127.0.0.1:8080"),
            ("http://127.9.9.9", "127.9.9.9:80"),
            ("http://[::1]:99/", "[::1]:99"),
            ("http://localhost:1", "localhost:1"),
            ("HTTP://LOCALHOST:1", "localhost:1"),
        ] {
            let endpoint = Endpoint::parse(text).unwrap();
            assert!(endpoint.is_loopback(), "{text}");
            assert_eq!(endpoint.host_and_port(), host_and_port);
        }
        for text in [
            "http://console.tim.qq.com",
            "http://10.0.0.1",
            "http://[::2]",
            "http://localhost.example.com",
            "http://127.0.0.1.example.com",
            "http://0.0.0.0",
        ] {
            let error = Endpoint::parse(text).unwrap_err();
            assert!(matches!(error, EndpointError::PlainHttp { .. }), "{text}: {error}");
        }
    }

    #[test]
    fn a_url_with_unwanted_parts_is_refused_without_repeating_secrets() {
        for (text, says) in [
            ("adminapisgp.im.qcloud.com", "not a URL"),
            ("", "not a URL"),
            ("https://", "not a URL"),
            ("ftp://host", "\"ftp\""),
            ("data:,x", "\"data\""),
            ("https://me:hunter2@host", "before the @"),
            ("https://hunter2@host", "before the @"),
            ("https://host/v4/openim/modify_c2c_msg", "\"/v4/openim/modify_c2c_msg\""),
            ("https://host/?usersig=hunter2", "from the ?"),
            ("https://host?", "from the ?"),
            ("https://host/#hunter2", "from the ?"),
        ] {
            let message = Endpoint::parse(text).unwrap_err().to_string();
            assert!(message.contains(says), "{text}: {message}");
            assert!(!message.contains("hunter2"), "{message}");
        }
    }

    #[test]
    fn an_endpoint_is_displayed_as_it_was_typed() {
        assert_eq!(Endpoint::parse(" https://host:8443/ ").unwrap().to_string(), "https://host:8443");
    }
}
