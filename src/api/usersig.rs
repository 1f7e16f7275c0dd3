//! UserSig, version 2: the signature that lets an admin account call the service.
//!
//! It is compressed JSON in the service's own variant of base64, and holds an HMAC over who may call (the identifier),
//! for which app, from when and for how long. [`Signer`] makes one; [`decode`] parses one, to report early that a
//! ready-made one belongs to another account or has expired.

use std::borrow::Cow;
use std::fmt;
use std::io::{Read, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

/// How long our signatures are valid. The service recommends at least a day, to tolerate clocks that differ; no more
/// than that, because a signature cannot be revoked.
const VALID_FOR: Duration = Duration::from_hours(24);

/// The longest text that [`decode`] accepts. A real one has about 200 characters.
const TEXT_BYTES_MAX: usize = 16 * 1024;

/// The most JSON that [`decode`] unpacks: compressed data may expand to gigabytes.
const JSON_BYTES_MAX: u64 = 16 * 1024;

/// Makes signatures for one account of one app.
#[derive(Clone)]
pub struct Signer {
    sdkappid: u64,
    identifier: String,
    key: SecretString,
    valid_for: Duration,
}

impl Signer {
    /// Signs as `identifier` of the app `sdkappid` with the app's secret key, for a day each time.
    pub fn new(sdkappid: u64, identifier: String, key: SecretString) -> Signer {
        Signer { sdkappid, identifier, key, valid_for: VALID_FOR }
    }

    /// Sets another validity for its signatures; fractions of a second are dropped.
    #[must_use]
    pub fn valid_for(self, valid_for: Duration) -> Signer {
        Signer { valid_for, ..self }
    }

    /// Whether it signs with this key.
    pub fn has_key(&self, key: &SecretString) -> bool {
        self.key.expose_secret() == key.expose_secret()
    }

    /// Makes a signature that is valid from `now` on.
    pub fn sign(&self, now: SystemTime) -> UserSig {
        let made_at = unix_seconds(now);
        let mut claims = Claims {
            identifier: self.identifier.clone(),
            sdkappid: self.sdkappid,
            time: made_at,
            expire: self.valid_for.as_secs(),
            sig: String::new(),
        };
        claims.sig = STANDARD.encode(mac(&claims, &self.key).finalize().into_bytes());
        UserSig { text: SecretString::from(encode(&claims)), made_at, expires_at: claims.expires_at() }
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer")
            .field("sdkappid", &self.sdkappid)
            .field("identifier", &self.identifier)
            .field("valid_for", &self.valid_for)
            .finish_non_exhaustive()
    }
}

/// A signature, ready to be sent. Its text is as good as a password until it expires.
#[derive(Clone, Debug)]
pub struct UserSig {
    /// The value of the query parameter `usersig`: letters, digits, `*`, `-` and `_` only.
    pub text: SecretString,
    /// When its validity starts, in Unix seconds.
    pub made_at: u64,
    /// The last second of its validity, in Unix seconds.
    pub expires_at: u64,
}

/// The contents of a signature. Do not trust them before [`verify`] has checked them.
#[derive(Clone, PartialEq, Eq)]
pub struct Claims {
    /// The account that may call.
    pub identifier: String,
    /// The app it is for.
    pub sdkappid: u64,
    /// When it was made, in Unix seconds.
    pub time: u64,
    /// Its validity, in seconds.
    pub expire: u64,
    /// Base64 of the HMAC over all of the above.
    pub sig: String,
}

impl Claims {
    /// The last second at which it is valid, in Unix seconds.
    pub fn expires_at(&self) -> u64 {
        self.time.saturating_add(self.expire)
    }

    /// Whether it has expired.
    pub fn is_expired(&self, now: SystemTime) -> bool {
        unix_seconds(now) > self.expires_at()
    }
}

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claims")
            .field("identifier", &self.identifier)
            .field("sdkappid", &self.sdkappid)
            .field("time", &self.time)
            .field("expire", &self.expire)
            .finish_non_exhaustive()
    }
}

/// Why a text is not a UserSig: a fragment that fits after "failed to read the UserSig: ". It repeats none of the
/// text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserSigError {
    /// Longer than any real one.
    #[error("it is longer than {TEXT_BYTES_MAX} characters; check that it is a UserSig")]
    TooLong,
    /// Not in the service's base64.
    #[error("it is not base64 as the service spells it; check that it was copied whole")]
    NotBase64,
    /// Does not unpack, or to more than any real one.
    #[error("it does not unpack; check that it was copied whole")]
    NotZlib,
    /// Unpacks to something else.
    #[error("it does not hold what a UserSig of version 2 holds; make a new one")]
    NotClaims,
}

/// Parses a signature, whoever made it. The unpacked size is bounded.
///
/// # Errors
/// What is wrong with the text. It may still be a valid UserSig of a kind that the public documents do not describe.
pub fn decode(usersig: &str) -> Result<Claims, UserSigError> {
    if usersig.len() > TEXT_BYTES_MAX {
        return Err(UserSigError::TooLong);
    }
    let base64: String = usersig.chars().map(to_standard).collect::<Option<_>>().ok_or(UserSigError::NotBase64)?;
    let packed = STANDARD.decode(base64).map_err(|_| UserSigError::NotBase64)?;
    let mut json = Vec::new();
    ZlibDecoder::new(packed.as_slice())
        .take(JSON_BYTES_MAX)
        .read_to_end(&mut json)
        .map_err(|_| UserSigError::NotZlib)?;
    let wire: SignatureJson<'_> = serde_json::from_slice(&json).map_err(|_| UserSigError::NotClaims)?;
    if wire.version != "2.0" {
        return Err(UserSigError::NotClaims);
    }
    Ok(Claims {
        identifier: wire.identifier.into_owned(),
        sdkappid: wire.sdkappid,
        time: wire.time,
        expire: wire.expire,
        sig: wire.sig.into_owned(),
    })
}

/// Whether the claims were signed with this key, compared in constant time. Whether they are still valid is another
/// question: see [`Claims::is_expired`].
pub fn verify(claims: &Claims, key: &SecretString) -> bool {
    STANDARD.decode(&claims.sig).is_ok_and(|sig| mac(claims, key).verify_slice(&sig).is_ok())
}

/// The JSON inside a UserSig.
#[derive(Serialize, Deserialize)]
struct SignatureJson<'a> {
    #[serde(rename = "TLS.ver")]
    version: Cow<'a, str>,
    #[serde(rename = "TLS.identifier")]
    identifier: Cow<'a, str>,
    #[serde(rename = "TLS.sdkappid")]
    sdkappid: u64,
    #[serde(rename = "TLS.expire")]
    expire: u64,
    #[serde(rename = "TLS.time")]
    time: u64,
    #[serde(rename = "TLS.sig")]
    sig: Cow<'a, str>,
}

#[expect(clippy::expect_used, reason = "writing text and numbers to memory cannot fail")]
fn encode(claims: &Claims) -> String {
    let wire = SignatureJson {
        version: "2.0".into(),
        identifier: claims.identifier.as_str().into(),
        sdkappid: claims.sdkappid,
        expire: claims.expire,
        time: claims.time,
        sig: claims.sig.as_str().into(),
    };
    let json = serde_json::to_vec(&wire).expect("text and numbers make JSON");
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&json).expect("memory takes it");
    let packed = encoder.finish().expect("memory takes it");
    STANDARD.encode(packed).chars().map(from_standard).collect()
}

#[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
fn mac(claims: &Claims, key: &SecretString) -> Hmac<Sha256> {
    let Claims { identifier, sdkappid, time, expire, sig: _ } = claims;
    // The key is the secret's text as the console shows it, although it looks like hexadecimal digits.
    let mut mac = Hmac::<Sha256>::new_from_slice(key.expose_secret().as_bytes()).expect("a key of any length");
    mac.update(
        format!("TLS.identifier:{identifier}\nTLS.sdkappid:{sdkappid}\nTLS.time:{time}\nTLS.expire:{expire}\n")
            .as_bytes(),
    );
    mac
}

fn from_standard(c: char) -> char {
    match c {
        '+' => '*',
        '/' => '-',
        '=' => '_',
        other => other,
    }
}

/// `None` for the three characters that the service's alphabet does not have.
fn to_standard(c: char) -> Option<char> {
    match c {
        '*' => Some('+'),
        '-' => Some('/'),
        '_' => Some('='),
        '+' | '/' | '=' => None,
        other => Some(other),
    }
}

pub(super) fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: &str = "5bd2850fff3ecb11d7c805251c51ee463a25727bddc2385f3fa8bfee1bb93b5e";

    const MADE_ELSEWHERE: &str = concat!(
        "eJyrVgrxCdYrSy1SslJQMtIzUNJRAItkpqTmlWSmZUIkKjIT87NK82CSxSnZiQUFmSlAKUMTAyiAyqVWFGQWpYJkTE",
        "1NjRDiJZm5YFEzNPXFmekgGwyjTAPy0l2y3BNL01KDMwPynUorUjwizV29jb1CUhyzfAMsjYNNvMvCjH1tlWoBGhAz",
        "Gw__",
    );

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn signer() -> Signer {
        Signer::new(1_400_000_000, "xiaojun".into(), KEY.into()).valid_for(Duration::from_hours(180 * 24))
    }

    /// Made with two public signing libraries, which agree.
    #[test]
    fn signs_as_the_public_libraries_do() {
        let usersig = signer().sign(at(1_600_000_000));
        let claims = decode(usersig.text.expose_secret()).unwrap();
        assert_eq!(claims.sig, "1Z5PngDjGaufeSiPoBuxdHY7EK3JTdAjMP93S4KvV3M=");
        assert_eq!((claims.identifier.as_str(), claims.sdkappid), ("xiaojun", 1_400_000_000));
        assert_eq!((claims.time, claims.expire), (1_600_000_000, 15_552_000));
        assert_eq!((usersig.made_at, usersig.expires_at), (1_600_000_000, 1_615_552_000));
        assert!(verify(&claims, &KEY.into()));
    }

    /// The text that PyPI's `tls-sig-api-v2` makes: another compressor, the same content.
    #[test]
    fn reads_what_a_public_library_made() {
        let claims = decode(MADE_ELSEWHERE).unwrap();
        assert!(verify(&claims, &KEY.into()));
        assert_eq!(claims, decode(signer().sign(at(1_600_000_000)).text.expose_secret()).unwrap());
    }

    #[test]
    fn the_json_inside_has_the_documented_shape() {
        let text = signer().sign(at(1_600_000_000)).text;
        let base64: String = text.expose_secret().chars().filter_map(to_standard).collect();
        let mut json = String::new();
        ZlibDecoder::new(STANDARD.decode(base64).unwrap().as_slice()).read_to_string(&mut json).unwrap();
        assert_eq!(
            json,
            r#"{"TLS.ver":"2.0","TLS.identifier":"xiaojun","TLS.sdkappid":1400000000,"TLS.expire":15552000,"TLS.time":1600000000,"TLS.sig":"1Z5PngDjGaufeSiPoBuxdHY7EK3JTdAjMP93S4KvV3M="}"#
        );
    }

    #[test]
    fn verification_fails_after_a_change_of_any_claim_or_of_the_key() {
        let good = decode(signer().sign(at(5)).text.expose_secret()).unwrap();
        let bad = [
            Claims { identifier: "xiaojun2".into(), ..good.clone() },
            Claims { sdkappid: 1, ..good.clone() },
            Claims { time: 6, ..good.clone() },
            Claims { expire: u64::MAX, ..good.clone() },
            Claims { sig: String::new(), ..good.clone() },
            Claims { sig: "?".into(), ..good.clone() },
        ];
        for claims in bad {
            assert!(!verify(&claims, &KEY.into()), "{claims:?}");
        }
        assert!(!verify(&good, &"another".into()));
    }

    #[test]
    fn it_is_valid_up_to_its_last_second() {
        let claims = decode(signer().sign(at(1_000)).text.expose_secret()).unwrap();
        assert!(!claims.is_expired(at(1_000 + 15_552_000)));
        assert!(claims.is_expired(at(1_001 + 15_552_000)));
        assert!(!Claims { expire: u64::MAX, ..claims }.is_expired(at(u64::from(u32::MAX))));
    }

    #[test]
    fn nothing_secret_is_printed() {
        let usersig = signer().sign(at(1_600_000_000));
        let claims = decode(usersig.text.expose_secret()).unwrap();
        let printed = format!("{usersig:?} {claims:?} {:?}", signer());
        for secret in [KEY, usersig.text.expose_secret(), &claims.sig] {
            assert!(!printed.contains(secret), "{printed}");
        }
    }

    #[test]
    fn a_text_that_is_no_usersig_is_refused_with_the_reason() {
        let pack = |content: &[u8]| -> String {
            let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
            encoder.write_all(content).unwrap();
            STANDARD.encode(encoder.finish().unwrap()).chars().map(from_standard).collect()
        };
        let whole = signer().sign(at(7)).text;
        let whole = whole.expose_secret();
        for (text, error) in [
            ("x".repeat(TEXT_BYTES_MAX + 1), UserSigError::TooLong),
            ("===".into(), UserSigError::NotBase64),
            (whole[..whole.len() - 1].into(), UserSigError::NotBase64),
            (String::new(), UserSigError::NotZlib),
            (whole[..whole.len() / 8 * 4].into(), UserSigError::NotZlib),
            (pack(b"{}"), UserSigError::NotClaims),
            (pack(&vec![b' '; 10_000_000]), UserSigError::NotClaims),
        ] {
            assert_eq!(decode(&text).unwrap_err(), error, "{text:.40}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_decoded_without_a_panic(text in ".{0,400}") {
            let _ = decode(&text);
        }

        #[test]
        fn any_packed_bytes_are_decoded_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let text: String = STANDARD.encode(&bytes).chars().map(from_standard).collect();
            let _ = decode(&text);
        }

        #[test]
        fn a_signature_decodes_to_its_claims_and_verifies(
            sdkappid: u64, identifier in ".{0,40}", key in ".{0,80}", time in 0..4_000_000_000_u64, expire: u64,
        ) {
            let signer = Signer::new(sdkappid, identifier.clone(), key.as_str().into());
            let usersig = signer.valid_for(Duration::from_secs(expire)).sign(at(time));
            let claims = decode(usersig.text.expose_secret()).unwrap();
            prop_assert!(verify(&claims, &key.as_str().into()));
            prop_assert_eq!(usersig.expires_at, claims.expires_at());
            let got = (claims.identifier, claims.sdkappid, claims.time, claims.expire);
            prop_assert_eq!(got, (identifier, sdkappid, time, expire));
        }
    }
}
