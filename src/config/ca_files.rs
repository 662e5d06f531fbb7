//! Files of trusted roots that cannot be read: a warning each. It is the checks of their sites that
//! fail, not the configuration.

use super::Config;
use super::error::reason;
use crate::files;
use crate::monitor::site::{Check, Site};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// All of them are looked at within this time, or not at all.
const WITHIN: Duration = Duration::from_secs(3);

/// What is wrong with each `ca_file`. Blocks.
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
    let give_up = Instant::now() + WITHIN;
    own.chain(sites)
        .filter_map(|(path, whose)| {
            let left = give_up.checked_duration_since(Instant::now())?;
            let patience = left.min(files::PATIENCE);
            let error = files::look(&path, files::LARGEST_BUNDLE, patience).err()?;
            let why = reason(&error);
            Some(format!(
                "ca_file {} cannot be read: {why}; {whose} until it can",
                path.display()
            ))
        })
        .collect()
}

fn ca_file(site: &Site) -> Option<&Path> {
    match &site.check {
        Check::Http(check) if check.verify => check.ca_file.as_deref(),
        Check::Tls(check) if check.verify => check.ca_file.as_deref(),
        _ => None,
    }
}
