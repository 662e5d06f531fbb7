//! The site that most tests begin with: every key has its default, but the certificate is not
//! inspected.

use sitemon::monitor::site::{Check, HttpCheck, HttpVersion, IpVersion, Secrets, Site, StatusSet};
use std::time::Duration;
use url::Url;

/// `url` is what is shown. What is asked is the same, unless the site's name makes it no URL.
pub fn plain_site(name: &str, url: &str) -> Site {
    let elsewhere = Url::parse("https://elsewhere.example/").expect("a URL");
    Site {
        name: name.to_owned(),
        url: url.to_owned(),
        interval: Duration::from_secs(60),
        timeout: Duration::from_secs(10),
        tries: 3,
        retry: Duration::from_secs(10),
        after: None,
        cert: None,
        domain: None,
        recover: 1,
        remind: Some(Duration::from_secs(6 * 3600)),
        slow: None,
        group: None,
        note: None,
        paused: false,
        maintenance: Vec::new(),
        chats: None,
        topic: None,
        secrets: Secrets::default(),
        check: Check::Http(HttpCheck {
            url: Url::parse(url).unwrap_or(elsewhere),
            proxy: Default::default(),
            zone: None,
            method: "GET".to_owned(),
            headers: Vec::new(),
            send: None,
            auth: None,
            status: StatusSet {
                ranges: vec![(200, 299)],
            },
            body: None,
            body_not: None,
            json: Vec::new(),
            login: None,
            redirects: 10,
            private_redirects: false,
            version: HttpVersion::Any,
            ip: IpVersion::Any,
            verify: true,
            ca_file: None,
        }),
    }
}
