//! A name's addresses, from the C library's resolver.

use libc::c_int;
use std::ffi::CStr;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

/// Addresses of `host`. Blocks, for as long as the resolver likes.
///
/// # Errors
///
/// `NotFound`: a resolver answered, and there is no such name, or no address of it. Any other kind:
/// none answered, or none that could tell.
pub(super) fn addresses(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    match (host, port).to_socket_addrs() {
        Ok(all) => Ok(all.collect()),
        Err(error) if is_no_name(&error) => Err(io::Error::new(io::ErrorKind::NotFound, error)),
        Err(error) => Err(error),
    }
}

/// Of getaddrinfo's code std keeps nothing but the C library's words for it, which glibc and musl
/// choose differently. So they are compared with what this very library calls the codes; should
/// std ever put it otherwise, a name that isn't there counts as one that nobody could tell of.
fn is_no_name(error: &io::Error) -> bool {
    let text = error.to_string();
    [libc::EAI_NONAME, libc::EAI_NODATA]
        .into_iter()
        .any(|code| text.ends_with(&words(code)))
}

/// The C library's words for a code of getaddrinfo.
fn words(code: c_int) -> String {
    // SAFETY: takes any number, and returns a text that is never freed or changed (POSIX).
    let text = unsafe { CStr::from_ptr(libc::gai_strerror(code)) };
    text.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    #[test]
    fn a_name_that_cannot_be_is_denied_without_asking_anybody() {
        // glibc and musl refuse it themselves, with EAI_NONAME.
        let error = addresses("", 80).expect_err("no name");
        assert_eq!(error.kind(), io::ErrorKind::NotFound, "{error}");
    }

    #[test]
    fn what_nobody_could_tell_is_not_denied() {
        for code in [libc::EAI_AGAIN, libc::EAI_FAIL, libc::EAI_MEMORY] {
            let error = io::Error::other(format!("failed to lookup: {}", words(code)));
            assert!(!is_no_name(&error), "{error}");
        }
        assert!(!is_no_name(&io::Error::from_raw_os_error(libc::EMFILE)));
        for code in [libc::EAI_NONAME, libc::EAI_NODATA] {
            let error = io::Error::other(format!("failed to lookup: {}", words(code)));
            assert!(is_no_name(&error), "{error}");
        }
    }

    #[test]
    fn the_hosts_file_counts() {
        let all = addresses("localhost", 80).expect("addresses");
        assert!(!all.is_empty());
        assert!(
            all.iter()
                .map(SocketAddr::ip)
                .all(|ip: IpAddr| ip.is_loopback())
        );
    }
}
