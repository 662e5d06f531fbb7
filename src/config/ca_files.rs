//! Warns of files with trusted roots that cannot be used, or only in part. The checks of their sites fail,
//! while the configuration is valid.

use super::Config;
use crate::files;
use crate::monitor::site::{Check, Site};
use crate::pem::Review;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Time limit for reading all of them.
const READ_TIMEOUT: Duration = Duration::from_secs(3);

/// Returns a warning for each unusable `ca_file`. Blocks.
pub fn unusable(config: &Config) -> Vec<String> {
    let mut named: Vec<(PathBuf, Vec<&str>)> = Vec::new();
    for site in &config.sites {
        let Some(path) = ca_file(site) else { continue };
        match named.iter_mut().find(|(known, _)| known == path) {
            Some((_, sites)) => sites.push(&site.name),
            None => named.push((path.to_owned(), vec![&site.name])),
        }
    }
    let own = config.agent.ca_file.iter().map(|path| {
        let whose = "https checks and Telegram fail".to_owned();
        (path.clone(), whose)
    });
    let sites = named.into_iter().map(|(path, sites)| {
        let whose = match sites[..] {
            [one] => format!("the checks of `{one}` fail"),
            _ => format!("the checks of {} sites fail", sites.len()),
        };
        (path, whose)
    });
    let give_up = Instant::now() + READ_TIMEOUT;
    own.chain(sites)
        .filter_map(|(path, whose)| {
            let left = give_up.checked_duration_since(Instant::now())?;
            let patience = left.min(files::READ_TIMEOUT);
            let what = wrong(&path, patience, &whose)?;
            Some(format!("ca_file {}{what}", path.display()))
        })
        .collect()
}

fn wrong(path: &Path, patience: Duration, whose: &str) -> Option<String> {
    let owned = path.to_owned();
    let read = move || files::read_now(&owned, files::LARGEST_BUNDLE);
    match files::within(path, patience, read) {
        Err(error) => {
            let why = files::reason(&error);
            Some(format!(" cannot be read: {why}; {whose} until it can"))
        }
        Ok(pem) => match Review::of(&pem) {
            review if review.sound == 0 => {
                Some(format!(" has no usable certificates; {whose} until it has"))
            }
            review => review.warning().map(|warning| format!(": {warning}")),
        },
    }
}

fn ca_file(site: &Site) -> Option<&Path> {
    match &site.check {
        Check::Http(check) if check.verify => check.ca_file.as_deref(),
        Check::Tls(check) if check.verify => check.ca_file.as_deref(),
        _ => None,
    }
}
