//! Services: names for connections, in a file that libpq's programs read too. (The crates for it are not kept up, or bring
//! a second PostgreSQL client.)

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use secrecy::SecretString;

use super::url::{self, AddressError, Parameters};
use crate::system::small_file;

/// Where Debian's libpq looks for the services of all users.
const SYSTEM_DIRECTORY: &str = "/etc/postgresql-common";

/// What a file says of a service.
#[derive(Debug, Default)]
pub(super) struct Service {
    pub(super) parameters: Parameters,
    pub(super) password: Option<SecretString>,
}

/// Finds a service in the user's file, then in the system's.
pub(super) fn find(name: &str, variable: &dyn Fn(&str) -> Option<OsString>) -> Result<Service, AddressError> {
    let files = files(variable);
    for path in &files {
        let text = match small_file::read_text(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(AddressError::ServiceFile { path: path.clone(), why: error.to_string() }),
        };
        if let Some(service) = section(&text, name) {
            return Ok(service);
        }
    }
    let files: Vec<String> = files.iter().map(|path| path.display().to_string()).collect();
    Err(AddressError::NoService { name: name.to_owned(), files: files.join(", ") })
}

fn files(variable: &dyn Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    let users = variable("PGSERVICEFILE").map(PathBuf::from);
    let users = users.or_else(|| Some(Path::new(&variable("HOME")?).join(".pg_service.conf")));
    let directory = variable("PGSYSCONFDIR").unwrap_or_else(|| SYSTEM_DIRECTORY.into());
    users.into_iter().chain([Path::new(&directory).join("pg_service.conf")]).collect()
}

/// The section of a service. Parameters that are not known are for other programs.
fn section(text: &str, name: &str) -> Option<Service> {
    let mut lines = text.lines().map(str::trim);
    lines.find(|line| line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) == Some(name))?;
    let mut service = Service::default();
    for line in lines.take_while(|line| !line.starts_with('[')).filter(|line| !line.starts_with('#')) {
        let Some((key, value)) = line.split_once('=') else { continue };
        if key == "password" {
            service.password.get_or_insert_with(|| value.into());
        } else if let Some(key) = url::known(key).filter(|key| !["job", "service", "allow"].contains(key)) {
            // A value with control characters could not be shown.
            if !value.contains(char::is_control) {
                service.parameters.entry(key).or_insert_with(|| value.to_owned());
            }
        }
    }
    Some(service)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use secrecy::ExposeSecret;

    use super::*;

    const FILE: &str = "# services\n[other]\nhost=no\n\n[edits]\nhost=db.example.com\nport=5433\n#user=nobody\nuser=runner\n\
                        password=a=b #c \nhost=second\noptions=-c x=y\njob=no\nnothing\n[later]\nuser=no\n";

    #[test]
    fn a_service_is_the_lines_of_its_section() {
        let service = section(FILE, "edits").unwrap();
        let wanted = [("host", "db.example.com"), ("port", "5433"), ("user", "runner")];
        assert_eq!(service.parameters, wanted.map(|(name, value)| (name, value.to_owned())).into());
        assert_eq!(service.password.unwrap().expose_secret(), "a=b #c");
        assert!(section(FILE, "edit").is_none());
        assert!(section(FILE, "later").unwrap().password.is_none());
    }

    #[test]
    fn the_users_file_comes_before_the_systems() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        std::fs::write(path("mine"), "[a]\nhost=mine\n").unwrap();
        std::fs::write(path("pg_service.conf"), "[a]\nhost=ours\n[b]\nhost=ours\n").unwrap();
        let variable = |name: &str| match name {
            "PGSERVICEFILE" => Some(path("mine").into()),
            "PGSYSCONFDIR" => Some(directory.path().into()),
            _ => None,
        };
        assert_eq!(find("a", &variable).unwrap().parameters["host"], "mine");
        assert_eq!(find("b", &variable).unwrap().parameters["host"], "ours");
        let error = find("c", &variable).unwrap_err();
        assert!(matches!(&error, AddressError::NoService { name, .. } if name == "c"), "{error}");
        let unreadable = |name: &str| (name == "PGSERVICEFILE").then(|| directory.path().into());
        assert!(matches!(find("a", &unreadable), Err(AddressError::ServiceFile { .. })));
    }

    proptest! {
        #[test]
        fn any_text_has_a_service_or_not(text in "[\\[\\]a=\n# é\r\0]{0,40}", any: String) {
            for text in [text, any] {
                let _ = (section(&text, "a"), section(&text, ""));
            }
        }
    }
}
