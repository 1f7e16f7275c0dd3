//! Who calls the service, and the signature that proves it, made anew before it runs out.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use super::usersig::{self, Claims, Signer, UserSig, UserSigError};
use secrecy::{ExposeSecret, SecretString};

/// An admin account of an app, and the means to sign for it.
#[derive(Debug)]
pub struct Credentials {
    sdkappid: u64,
    identifier: String,
    /// `None`: only a ready-made signature was given.
    signer: Option<Signer>,
    current: Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    signature: Arc<Signature>,
    /// Signed anew since the service last took a signature. Once is enough: what is refused twice stays refused.
    anew: bool,
}

/// One signature, and which one it is.
#[derive(Debug)]
pub struct Signature {
    number: u64,
    usersig: UserSig,
}

impl Signature {
    /// The query's `usersig`.
    pub fn text(&self) -> &SecretString {
        &self.usersig.text
    }
}

/// Why a ready-made UserSig cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// It is not one.
    #[error("TIM_USERSIG: {0}; copy it once more, or give TIM_SECRET_KEY instead")]
    UserSig(#[from] UserSigError),
    /// It is somebody else's.
    #[error(
        "TIM_USERSIG is for {theirs:?} of app {their_app}, not for {ours:?} of app {our_app}; make it for that account"
    )]
    Another {
        /// The identifier in it.
        theirs: String,
        /// The app in it.
        their_app: u64,
        /// The identifier of the job.
        ours: String,
        /// The app of the job.
        our_app: u64,
    },
    /// It has run out.
    #[error("TIM_USERSIG ran out at {at}; make a new one, or give TIM_SECRET_KEY so that the run can sign itself")]
    Expired {
        /// When.
        at: String,
    },
}

impl Credentials {
    /// Signs with the app's secret key, whenever that is needed.
    pub fn with_key(sdkappid: u64, identifier: &str, key: SecretString) -> Credentials {
        let signer = Signer::new(sdkappid, identifier.to_owned(), key);
        let usersig = signer.sign(SystemTime::now());
        Credentials::new(sdkappid, identifier, Some(signer), usersig)
    }

    /// Uses a ready-made UserSig, for as long as it lasts.
    ///
    /// # Errors
    /// It is none, another account's, or has run out.
    pub fn with_usersig(sdkappid: u64, identifier: &str, text: SecretString) -> Result<Credentials, CredentialsError> {
        let claims = usersig::decode(text.expose_secret())?;
        if claims.identifier != identifier || claims.sdkappid != sdkappid {
            return Err(CredentialsError::Another {
                theirs: claims.identifier,
                their_app: claims.sdkappid,
                ours: identifier.to_owned(),
                our_app: sdkappid,
            });
        }
        if claims.is_expired(SystemTime::now()) {
            return Err(CredentialsError::Expired { at: timestamp(&claims) });
        }
        let usersig = UserSig { text, made_at: claims.time, expires_at: claims.expires_at() };
        Ok(Credentials::new(sdkappid, identifier, None, usersig))
    }

    fn new(sdkappid: u64, identifier: &str, signer: Option<Signer>, usersig: UserSig) -> Credentials {
        let current = Current { signature: Arc::new(Signature { number: 0, usersig }), anew: false };
        Credentials { sdkappid, identifier: identifier.to_owned(), signer, current: Mutex::new(current) }
    }

    /// The app.
    pub fn sdkappid(&self) -> u64 {
        self.sdkappid
    }

    /// The account.
    pub fn identifier(&self) -> &str {
        &self.identifier
    }

    /// A signature to send now: where the key is held, one that has at least half of its time left, also when the
    /// clock was set to before the time at which it was made.
    pub fn signature(&self, now: SystemTime) -> Arc<Signature> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(signer) = &self.signer
            && !is_fresh(&current.signature.usersig, now)
        {
            current.renew(signer, now);
        }
        Arc::clone(&current.signature)
    }

    /// The service took this signature.
    pub fn accepted(&self, signature: &Signature) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.signature.number == signature.number {
            current.anew = false;
        }
    }

    /// The service refused this signature. True: there is a new one, so the request can be sent again.
    pub fn refused(&self, signature: &Signature, now: SystemTime) -> bool {
        let Some(signer) = &self.signer else { return false };
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.signature.number != signature.number {
            return true;
        }
        if current.anew {
            return false;
        }
        current.anew = true;
        current.renew(signer, now);
        true
    }
}

impl Current {
    fn renew(&mut self, signer: &Signer, now: SystemTime) {
        self.signature = Arc::new(Signature { number: self.signature.number + 1, usersig: signer.sign(now) });
    }
}

fn is_fresh(usersig: &UserSig, now: SystemTime) -> bool {
    let now = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let half = usersig.expires_at.saturating_sub(usersig.made_at) / 2;
    (usersig.made_at..=usersig.made_at + half).contains(&now)
}

fn timestamp(claims: &Claims) -> String {
    i64::try_from(claims.expires_at())
        .ok()
        .and_then(|at| jiff::Timestamp::from_second(at).ok())
        .map_or_else(|| "an unknown time".to_owned(), |at| at.to_string())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn with_key() -> Credentials {
        Credentials::with_key(1_400_000_000, "administrator", SecretString::from("key"))
    }

    #[test]
    fn a_signature_is_made_anew_at_half_its_time_and_when_the_clock_was_set_back() {
        let credentials = with_key();
        let now = SystemTime::now();
        let first = credentials.signature(now);
        assert_eq!(credentials.signature(now + Duration::from_hours(11)).number, first.number);
        let second = credentials.signature(now + Duration::from_hours(13));
        assert_ne!(second.number, first.number);
        assert_ne!(credentials.signature(now).number, second.number);
    }

    #[test]
    fn a_refused_signature_is_made_anew_once() {
        let credentials = with_key();
        let now = SystemTime::now();
        let first = credentials.signature(now);
        assert!(credentials.refused(&first, now));
        assert!(credentials.refused(&first, now), "another request with the same signature can be sent again too");
        let second = credentials.signature(now);
        assert!(!credentials.refused(&second, now), "the new one was refused too");
        credentials.accepted(&second);
        assert!(credentials.refused(&second, now), "it was good for a while");
    }

    #[test]
    fn a_ready_made_signature_is_looked_at_before_anything_is_sent() {
        let sign = |expires: u64| {
            Signer::new(1_400_000_000, "administrator".into(), SecretString::from("key"))
                .valid_for(Duration::from_secs(expires))
                .sign(SystemTime::now() - Duration::from_secs(10))
                .text
        };
        let check = |app, identifier, text, part: &str| {
            let error = Credentials::with_usersig(app, identifier, text).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        };
        check(1_400_000_000, "administrator", SecretString::from("no"), "TIM_USERSIG: ");
        check(1_400_000_001, "administrator", sign(60), "not for \"administrator\" of app 1400000001");
        check(1_400_000_000, "root", sign(60), "not for \"root\"");
        check(1_400_000_000, "administrator", sign(5), "ran out at 2");
        let good = Credentials::with_usersig(1_400_000_000, "administrator", sign(60)).unwrap();
        assert!(!good.refused(&good.signature(SystemTime::now()), SystemTime::now()), "there is no key to sign with");
    }
}
