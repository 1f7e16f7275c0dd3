//! Who somebody is, as the system knows it: what the environment says can be set by anybody. A leaf.

use nix::unistd::{Uid, User};

/// The name of the user that this process belongs to.
pub fn this_user() -> String {
    name(Uid::current())
}

/// A user's name, where the system knows one.
pub fn name(user: Uid) -> String {
    match User::from_uid(user) {
        Ok(Some(user)) => user.name,
        Ok(None) | Err(_) => format!("user {user}"),
    }
}
