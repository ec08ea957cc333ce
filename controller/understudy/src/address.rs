//! The controller's address. It only reads text; whether anybody listens there is found out by asking.

use std::path::PathBuf;

/// Where the controller listens unless something else is said.
pub const DEFAULT_SOCKET: &str = "/run/understudy/understudy.sock";
/// The same as an address.
pub const DEFAULT_ADDRESS: &str = "unix:/run/understudy/understudy.sock";

/// The controller's address: a unix socket, the only door.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Address(pub PathBuf);

impl std::str::FromStr for Address {
    type Err = String;
    fn from_str(text: &str) -> Result<Address, String> {
        let path = text.strip_prefix("unix:").unwrap_or(text);
        if path.starts_with('/') || (text.starts_with("unix:") && !path.is_empty()) {
            return Ok(Address(PathBuf::from(path)));
        }
        Err(format!("`{text}` is not an address: write unix:PATH, such as unix:{DEFAULT_SOCKET}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_unix_socket() {
        for (text, path) in [(DEFAULT_ADDRESS, DEFAULT_SOCKET), ("/a/b", "/a/b"), ("unix:b.sock", "b.sock")] {
            assert_eq!(text.parse(), Ok(Address(PathBuf::from(path))));
        }
        for bad in ["", "unix:", "b.sock", "https://host"] {
            assert!(bad.parse::<Address>().is_err(), "{bad}");
        }
    }
}
