//! Which user a connection on loopback belongs to, according to the kernel.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;

use nix::unistd::Uid;

/// An open connection, in the kernel's number.
const ESTABLISHED: &str = "01";

/// Whether a connection from `peer` to `own` belongs to the user who runs this, or to root. Where the kernel does not say
/// (as with `ProcSubset=pid`), it is not.
pub(super) fn is_ours(peer: SocketAddr, own: SocketAddr) -> bool {
    is_ours_by(table(own.ip()), peer, own)
}

/// Whether the kernel says whose a connection to this loopback address is, tried with one of our own.
pub(super) fn can_be_told(address: IpAddr) -> bool {
    can_be_told_by(table(address), address).unwrap_or(false)
}

fn table(address: IpAddr) -> &'static Path {
    Path::new(if address.is_ipv4() { "/proc/net/tcp" } else { "/proc/net/tcp6" })
}

fn can_be_told_by(table: &Path, address: IpAddr) -> io::Result<bool> {
    let listener = TcpListener::bind((address, 0))?;
    let own = listener.local_addr()?;
    let client = TcpStream::connect(own)?;
    Ok(is_ours_by(table, client.local_addr()?, own))
}

fn is_ours_by(table: &Path, peer: SocketAddr, own: SocketAddr) -> bool {
    let Ok(table) = std::fs::read_to_string(table) else { return false };
    owner(&table, peer, own).is_some_and(|owner| owner.is_root() || owner == Uid::effective())
}

/// The user at the other end: `  0: 0100007F:9C40 0100007F:2009 01 00000000:00000000 00:00000000 00000000  1000 …`. One
/// that is closed already belongs to nobody, and the kernel says 0 of it, so only open ones count.
fn owner(table: &str, peer: SocketAddr, own: SocketAddr) -> Option<Uid> {
    let (peer, own) = (address(peer), address(own));
    table.lines().skip(1).find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let is_it = words.get(1..4)? == [peer.as_str(), own.as_str(), ESTABLISHED];
        is_it.then(|| words.get(7)?.parse().ok().map(Uid::from_raw)).flatten()
    })
}

/// As the kernel writes it: words of 32 bits, in the order of this machine.
fn address(address: SocketAddr) -> String {
    let word = |bytes: &[u8]| {
        let word = bytes.iter().fold([0; 4], |[_, a, b, c], byte| [a, b, c, *byte]);
        format!("{:08X}", u32::from_ne_bytes(word))
    };
    let ip: String = match address {
        SocketAddr::V4(v4) => word(&v4.ip().octets()),
        SocketAddr::V6(v6) => v6.ip().octets().chunks(4).map(word).collect(),
    };
    format!("{ip}:{:04X}", address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_whose_a_connection_is() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
                     0: 0100007F:2009 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1\n   \
                     1: 0100007F:9C40 0100007F:2009 01 00000000:00000000 00:00000000 00000000  1000        0 2 1\n   \
                     2: 0100007F:9C41 0100007F:2009 05 00000000:00000000 00:00000000 00000000     0        0 0 1\n";
        let own = "127.0.0.1:8201".parse().unwrap();
        let who = |peer: &str| owner(table, peer.parse().unwrap(), own);
        assert_eq!(who("127.0.0.1:40000"), Some(Uid::from_raw(1000)));
        assert_eq!(who("127.0.0.1:40001"), None, "closed, and so nobody's");
        assert_eq!(who("127.0.0.1:40002"), None);
        assert_eq!(address("[::1]:8201".parse().unwrap()), "00000000000000000000000001000000:2009");
    }

    #[test]
    fn a_connection_of_our_own_is_ours() {
        for any in ["127.0.0.1:0", "[::1]:0"] {
            // A machine without IPv6 has nothing to be tested there.
            let Ok(listener) = TcpListener::bind(any) else { continue };
            let own = listener.local_addr().unwrap();
            let _client = TcpStream::connect(own).unwrap();
            let (_stream, peer) = listener.accept().unwrap();
            assert!(is_ours(peer, own));
            assert!(can_be_told(own.ip()));
        }
    }

    /// A table that could not be read made every local user's connection ours.
    #[test]
    fn a_connection_that_the_kernel_says_nothing_of_is_nobodys() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let own = listener.local_addr().unwrap();
        let client = TcpStream::connect(own).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let (missing, empty) = (directory.path().join("missing"), directory.path().join("empty"));
        std::fs::write(&empty, "").unwrap();
        for table in [missing, empty] {
            assert!(!is_ours_by(&table, client.local_addr().unwrap(), own), "{}", table.display());
            assert!(!can_be_told_by(&table, own.ip()).unwrap(), "{}", table.display());
        }
    }
}
