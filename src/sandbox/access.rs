//! Access control: checks the query of a request as the service does.

use std::borrow::Cow;
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::Url;
use secrecy::SecretString;

use crate::api::usersig;

/// The only account, of the only app, that may call.
#[derive(Debug)]
pub(super) struct Access {
    sdkappid: u64,
    identifier: String,
    key: SecretString,
    /// The last accepted signature and its expiry: a client sends the same one with every request.
    accepted: RwLock<Option<AcceptedSignature>>,
}

#[derive(Debug)]
struct AcceptedSignature {
    usersig: SecretString,
    until: SystemTime,
}

/// The query parameters that are checked.
#[derive(Default)]
struct Query<'a> {
    sdkappid: Option<Cow<'a, str>>,
    identifier: Option<Cow<'a, str>>,
    usersig: Option<Cow<'a, str>>,
    random: Option<Cow<'a, str>>,
    contenttype: Option<Cow<'a, str>>,
}

impl Access {
    /// Allows `identifier` of the app `sdkappid` to call, with signatures made with `key`.
    pub(super) fn new(sdkappid: u64, identifier: String, key: SecretString) -> Access {
        Access { sdkappid, identifier, key, accepted: RwLock::new(None) }
    }

    /// Checks the query of a request, without its question mark.
    ///
    /// # Errors
    /// The `ErrorCode` that the service would answer with.
    pub(super) fn check(&self, query: &str, now: SystemTime) -> Result<(), i64> {
        // 60002: the URL is malformed.
        let url = Url::parse(&format!("http://sandbox/?{query}")).map_err(|_| 60002)?;
        let mut params = Query::default();
        for (name, value) in url.query_pairs() {
            match &*name {
                "sdkappid" => params.sdkappid = Some(value),
                "identifier" => params.identifier = Some(value),
                "usersig" => params.usersig = Some(value),
                "random" => params.random = Some(value),
                "contenttype" => params.contenttype = Some(value),
                // The service ignores unknown parameters.
                _ => {}
            }
        }
        let sdkappid = params.sdkappid.ok_or(60012)?.parse::<u64>().map_err(|_| 60006)?;
        let identifier = params.identifier.ok_or(60004)?;
        if params.contenttype.as_deref() != Some("json") {
            return Err(60002);
        }
        params.random.and_then(|random| random.parse::<u32>().ok()).ok_or(60002)?;
        if sdkappid != self.sdkappid {
            return Err(70020);
        }
        self.check_signature(params.usersig.as_deref().unwrap_or_default(), &identifier, now)?;
        // 60010: validly signed, but not by an admin.
        if *identifier == self.identifier { Ok(()) } else { Err(60010) }
    }

    fn check_signature(&self, usersig: &str, identifier: &str, now: SystemTime) -> Result<(), i64> {
        if usersig.is_empty() {
            return Err(70002);
        }
        if self.was_accepted(usersig, now) && identifier == self.identifier {
            return Ok(());
        }
        let claims = usersig::decode(usersig).map_err(|_| 70003)?;
        if claims.sdkappid != self.sdkappid {
            return Err(70014);
        }
        if claims.identifier != identifier {
            return Err(70013);
        }
        if !usersig::verify(&claims, &self.key) {
            return Err(70009);
        }
        if claims.is_expired(now) {
            return Err(70001);
        }
        let until = UNIX_EPOCH.checked_add(Duration::from_secs(claims.expires_at()));
        if let Some(until) = until.filter(|_| identifier == self.identifier) {
            let accepted = AcceptedSignature { usersig: usersig.into(), until };
            *self.accepted.write().unwrap_or_else(PoisonError::into_inner) = Some(accepted);
        }
        Ok(())
    }

    fn was_accepted(&self, usersig: &str, now: SystemTime) -> bool {
        use secrecy::ExposeSecret as _;
        let accepted = self.accepted.read().unwrap_or_else(PoisonError::into_inner);
        accepted.as_ref().is_some_and(|accepted| accepted.usersig.expose_secret() == usersig && now <= accepted.until)
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;
    use crate::api::usersig::Signer;

    const NOW: u64 = 1_700_000_000;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn sig(sdkappid: u64, identifier: &str, key: &str) -> String {
        Signer::new(sdkappid, identifier.into(), key.into()).sign(at(NOW)).text.expose_secret().to_owned()
    }

    fn access() -> Access {
        Access::new(7, "admin".into(), "key".into())
    }

    fn query(usersig: &str) -> String {
        format!("sdkappid=7&identifier=admin&usersig={usersig}&random=4294967295&contenttype=json")
    }

    fn check(query: &str, expected: Result<(), i64>) {
        let access = access();
        // Twice, because an accepted signature takes a shorter path.
        assert_eq!(access.check(query, at(NOW)), expected, "{query}");
        assert_eq!(access.check(query, at(NOW)), expected, "{query}");
    }

    #[test]
    fn a_good_query_passes() {
        check(&query(&sig(7, "admin", "key")), Ok(()));
        check(&format!("{}&more=1", query(&sig(7, "admin", "key"))), Ok(()));
        check(&query(&sig(7, "admin", "key").replace('*', "%2A")), Ok(()));
    }

    #[test]
    fn each_thing_that_is_wrong_has_its_code() {
        let good = query(&sig(7, "admin", "key"));
        check("", Err(60012));
        check(&good.replace("sdkappid=7&", ""), Err(60012));
        check(&good.replace("sdkappid=7", "sdkappid=x"), Err(60006));
        check(&good.replace("sdkappid=7", "sdkappid=8"), Err(70020));
        check(&good.replace("identifier=admin&", ""), Err(60004));
        check(&good.replace("random=4294967295", "random=4294967296"), Err(60002));
        check(&good.replace("random=4294967295&", ""), Err(60002));
        check(&good.replace("contenttype=json", "contenttype=JSON"), Err(60002));
        check(&good.replace("contenttype", "ContentType"), Err(60002));
        check(&query(""), Err(70002));
        check(&query("nonsense"), Err(70003));
        check(&query(&sig(8, "admin", "key")), Err(70014));
        check(&query(&sig(7, "somebody", "key")), Err(70013));
        check(&query(&sig(7, "admin", "another")), Err(70009));
        let nobody = query(&sig(7, "nobody", "key")).replace("identifier=admin", "identifier=nobody");
        check(&nobody, Err(60010));
    }

    #[test]
    fn a_signature_expires_even_when_it_has_passed_before() {
        let access = access();
        let query = query(&sig(7, "admin", "key"));
        let last = NOW + 24 * 60 * 60;
        assert_eq!(access.check(&query, at(last)), Ok(()));
        assert_eq!(access.check(&query, at(last + 1)), Err(70001));
    }

    #[test]
    fn a_signature_that_has_passed_does_not_serve_another_account() {
        let access = access();
        let good = query(&sig(7, "admin", "key"));
        assert_eq!(access.check(&good, at(NOW)), Ok(()));
        assert_eq!(access.check(&good.replace("identifier=admin", "identifier=x"), at(NOW)), Err(70013));
    }
}
