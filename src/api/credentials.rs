//! Who calls the service, and the signature that proves it, renewed before it expires.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::system::small_file;

use super::secret::{self, SecretFault};
use super::usersig::{self, Claims, Signer, UserSig, UserSigError, unix_seconds};
use secrecy::{ExposeSecret, SecretString};

/// A ready-made signature must still be valid when its request arrives.
const TRANSIT_MAX: Duration = Duration::from_secs(2);

/// An admin account of an app, and the means to sign for it.
#[derive(Debug)]
pub struct Credentials {
    sdkappid: u64,
    identifier: String,
    /// The file that the key came from, read again before each signing where possible.
    key_file: Option<PathBuf>,
    current: Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    /// `None` if only a ready-made signature was given.
    signer: Option<Signer>,
    signature: Arc<Signature>,
    /// Whether it was renewed since the service last accepted a signature. Once is enough: a second refusal is final.
    renewed: bool,
    clock: Clock,
}

/// The time to sign with. If the wall clock is set back during a run, signatures made with it would already have
/// expired, so it counts only while it is not behind the monotonic time that has passed since it was last trusted.
#[derive(Debug)]
struct Clock {
    wall: SystemTime,
    at: Instant,
}

impl Clock {
    fn trust(wall: SystemTime) -> Clock {
        Clock { wall, at: Instant::now() }
    }

    fn now(&self, wall: SystemTime) -> SystemTime {
        wall.max(self.wall.checked_add(self.at.elapsed()).unwrap_or(wall))
    }
}

/// A signature and its serial number.
#[derive(Debug)]
pub struct Signature {
    number: u64,
    usersig: UserSig,
}

impl Signature {
    /// The value of the query parameter `usersig`.
    pub fn text(&self) -> &SecretString {
        &self.usersig.text
    }
}

/// Why there are no usable credentials.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// The key file cannot be read.
    #[error("TIM_SECRET_KEY_FILE {} cannot be read: {source}", path.display())]
    ReadKey {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The given text is not a secret.
    #[error("{origin} {fault}")]
    Secret {
        /// The variable, and the file that it names, if any.
        origin: String,
        /// What is wrong with it.
        fault: SecretFault,
    },
    /// The text is not a UserSig.
    #[error("TIM_USERSIG: {0}; copy it once more, or give TIM_SECRET_KEY instead")]
    UserSig(#[from] UserSigError),
    /// The UserSig belongs to another account or app.
    #[error(
        "TIM_USERSIG is for {theirs:?} of app {their_app}, not for {ours:?} of app {our_app}; make it for that account"
    )]
    Another {
        /// The identifier in the UserSig.
        theirs: String,
        /// The app in the UserSig.
        their_app: u64,
        /// The identifier of the job.
        ours: String,
        /// The app of the job.
        our_app: u64,
    },
    /// The UserSig has expired.
    #[error("TIM_USERSIG ran out at {at}; make a new one, or give TIM_SECRET_KEY so that the run can sign itself")]
    Expired {
        /// The time of expiry.
        at: String,
    },
}

impl Credentials {
    /// Signs with the app's secret key whenever a new signature is needed.
    pub fn with_key(sdkappid: u64, identifier: &str, key: SecretString) -> Credentials {
        let signer = Signer::new(sdkappid, identifier.to_owned(), key);
        let usersig = signer.sign(SystemTime::now());
        Credentials::new(sdkappid, identifier, Some(signer), usersig)
    }

    /// Signs with the key in a file. If the file's key changes during the run, the new key is used.
    ///
    /// # Errors
    /// The file cannot be read, or does not hold a key.
    pub fn with_key_file(sdkappid: u64, identifier: &str, path: &Path) -> Result<Credentials, CredentialsError> {
        let credentials = Credentials::with_key(sdkappid, identifier, read_key(path)?);
        Ok(Credentials { key_file: Some(path.to_owned()), ..credentials })
    }

    /// Uses a ready-made UserSig until it expires.
    ///
    /// # Errors
    /// The text is not a UserSig, belongs to another account, or has expired.
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
        let signature = Arc::new(Signature { number: 0, usersig });
        let clock = Clock::trust(SystemTime::now());
        let current = Mutex::new(Current { signer, signature, renewed: false, clock });
        Credentials { sdkappid, identifier: identifier.to_owned(), key_file: None, current }
    }

    /// The app.
    pub fn sdkappid(&self) -> u64 {
        self.sdkappid
    }

    /// The account.
    pub fn identifier(&self) -> &str {
        &self.identifier
    }

    /// A signature to send now. If the key is held, at least half of its validity remains; `None` if it was ready-made
    /// and has expired.
    pub fn signature(&self, wall: SystemTime) -> Option<Arc<Signature>> {
        let mut current = self.current();
        let now = current.clock.now(wall);
        if current.signer.is_none() {
            let is_expired = unix_seconds(now + TRANSIT_MAX) > current.signature.usersig.expires_at;
            return (!is_expired).then(|| Arc::clone(&current.signature));
        }
        if !is_fresh(&current.signature.usersig, now) {
            self.renew(&mut current, now);
        }
        Some(Arc::clone(&current.signature))
    }

    /// Records that the service accepted this signature.
    pub fn accepted(&self, signature: &Signature) {
        let mut current = self.current();
        if current.signature.number == signature.number {
            current.renewed = false;
        }
    }

    /// Records that the service refused this signature. Returns true if there is a new one to send the request again
    /// with.
    pub fn refused(&self, signature: &Signature, wall: SystemTime) -> bool {
        let mut current = self.current();
        if current.signature.number != signature.number {
            return current.signer.is_some();
        }
        // Whether our clock or the wall clock was wrong, trust the wall clock from here on.
        current.clock = Clock::trust(wall);
        let changed = self.reload_key(&mut current);
        if current.signer.is_none() || (current.renewed && !changed) {
            return false;
        }
        current.renewed = true;
        self.renew(&mut current, wall);
        true
    }

    /// Whether the file holds another key than this signature was made with. If so, there is a new signature, and a
    /// request that was refused with the old one can be sent again.
    pub fn key_has_changed(&self, signature: &Signature, wall: SystemTime) -> bool {
        let mut current = self.current();
        if current.signature.number != signature.number {
            return self.key_file.is_some();
        }
        let changed = self.reload_key(&mut current);
        if changed {
            let now = current.clock.now(wall);
            self.renew(&mut current, now);
        }
        changed
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn renew(&self, current: &mut Current, now: SystemTime) {
        self.reload_key(current);
        if let Some(signer) = &current.signer {
            let number = current.signature.number + 1;
            current.signature = Arc::new(Signature { number, usersig: signer.sign(now) });
        }
    }

    /// Reads the key file again; true if it holds another key than before.
    fn reload_key(&self, current: &mut Current) -> bool {
        let Some(path) = self.key_file.as_deref().filter(|path| can_be_read_again(path)) else { return false };
        let key = match read_key(path) {
            Ok(key) => key,
            Err(error) => {
                tracing::warn!("{error}; using the key that was read before");
                return false;
            }
        };
        let changed = current.signer.as_ref().is_none_or(|signer| !signer.has_key(&key));
        if changed {
            tracing::info!("the key in {} has changed; using the new one", path.display());
            current.signer = Some(Signer::new(self.sdkappid, self.identifier.clone(), key));
        }
        changed
    }
}

fn read_key(path: &Path) -> Result<SecretString, CredentialsError> {
    let bytes = small_file::read(path).map_err(|source| CredentialsError::ReadKey { path: path.to_owned(), source })?;
    secret::read(&bytes)
        .map_err(|fault| CredentialsError::Secret { origin: format!("TIM_SECRET_KEY_FILE {}", path.display()), fault })
}

/// The secret that the environment variable `name` holds.
///
/// # Errors
/// The variable holds no secret, or one with stray characters around it.
pub fn secret_of_variable(name: &str, value: &str) -> Result<SecretString, CredentialsError> {
    secret::read(value.as_bytes()).map_err(|fault| CredentialsError::Secret { origin: name.to_owned(), fault })
}

/// A pipe yields its key once, and opening it again would block forever. A missing file may come back.
fn can_be_read_again(path: &Path) -> bool {
    path.metadata().map_or(true, |metadata| metadata.is_file())
}

fn is_fresh(usersig: &UserSig, now: SystemTime) -> bool {
    let half = usersig.expires_at.saturating_sub(usersig.made_at) / 2;
    (usersig.made_at..=usersig.made_at + half).contains(&unix_seconds(now))
}

fn timestamp(claims: &Claims) -> String {
    i64::try_from(claims.expires_at())
        .ok()
        .and_then(|at| jiff::Timestamp::from_second(at).ok())
        .map_or_else(|| "an unknown time".to_owned(), |at| at.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_key() -> Credentials {
        Credentials::with_key(1_400_000_000, "administrator", SecretString::from("key"))
    }

    fn number(credentials: &Credentials, wall: SystemTime) -> u64 {
        credentials.signature(wall).unwrap().number
    }

    #[test]
    fn a_signature_is_renewed_at_half_its_time() {
        let credentials = with_key();
        let now = SystemTime::now();
        assert_eq!(number(&credentials, now + Duration::from_hours(11)), 0);
        assert_eq!(number(&credentials, now + Duration::from_hours(13)), 1);
    }

    #[test]
    fn a_wall_clock_that_is_set_back_changes_nothing_until_the_service_refuses_a_signature() {
        let credentials = with_key();
        let back = SystemTime::now() - Duration::from_hours(24);
        let first = credentials.signature(back).unwrap();
        assert_eq!((first.number, credentials.signature(back).unwrap().number), (0, 0));
        assert!(credentials.refused(&first, back));
        let second = credentials.signature(back).unwrap();
        assert_eq!((second.number, second.usersig.made_at), (1, unix_seconds(back)));
        assert_eq!(number(&credentials, back), 1);
    }

    #[test]
    fn a_refused_signature_is_renewed_once() {
        let credentials = with_key();
        let now = SystemTime::now();
        let first = credentials.signature(now).unwrap();
        assert!(credentials.refused(&first, now));
        assert!(credentials.refused(&first, now), "another request with the same signature can be sent again too");
        let second = credentials.signature(now).unwrap();
        assert!(!credentials.refused(&second, now), "the new one was refused too");
        credentials.accepted(&second);
        assert!(credentials.refused(&second, now), "it was good for a while");
    }

    #[test]
    fn a_key_that_was_changed_in_its_file_is_taken_up() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let write = |key: &str| std::fs::write(file.path(), key).unwrap();
        let now = SystemTime::now();
        write("one\n");
        let credentials = Credentials::with_key_file(1_400_000_000, "administrator", file.path()).unwrap();
        let verify = |key: &str| {
            let claims = usersig::decode(credentials.signature(now).unwrap().text().expose_secret()).unwrap();
            usersig::verify(&claims, &SecretString::from(key))
        };
        let first = credentials.signature(now).unwrap();
        assert!(!credentials.key_has_changed(&first, now) && verify("one"));
        write("two\n");
        assert!(verify("one"), "a file is not read for every request");
        assert!(credentials.key_has_changed(&first, now) && verify("two"));
        assert!(credentials.key_has_changed(&first, now), "another request that was sent with the old one");

        let second = credentials.signature(now).unwrap();
        assert!(credentials.refused(&second, now));
        let third = credentials.signature(now).unwrap();
        assert!(!credentials.refused(&third, now));
        write("three");
        assert!(credentials.refused(&third, now) && verify("three"), "another key is another try");
        std::fs::remove_file(file.path()).unwrap();
        assert!(!credentials.key_has_changed(&credentials.signature(now).unwrap(), now) && verify("three"));
    }

    #[test]
    fn a_ready_made_signature_is_checked_before_anything_is_sent() {
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
        let now = SystemTime::now();
        assert!(!good.refused(&good.signature(now).unwrap(), now), "there is no key to sign with");
        assert!(good.signature(now + Duration::from_mins(1)).is_none(), "it is not used past its end");
    }
}
