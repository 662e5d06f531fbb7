//! `[listen]`.

use super::error::MistakeList;
use super::plaintext_secrets::is_literal;
use super::toml_table::Table;
use super::{Context, variables};
use crate::secret::Secret;
use std::net::SocketAddr;

/// The `[listen]` table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// The port is not 0.
    pub address: SocketAddr,
    /// `/metrics` requires it as `Authorization: Bearer`. Visible ASCII characters, at least one.
    pub token: Option<Secret>,
}

/// Reads the table. Returns `None` after a mistake, which is recorded.
pub fn read(
    mut table: Table,
    ctx: &Context,
    warnings: &mut Vec<String>,
    log: &mut MistakeList,
) -> Option<Listen> {
    if cfg!(not(feature = "listen")) {
        let what = "this sitemon was built without [listen] (its cargo feature `listen`); \
                    leave the table out, or take another build";
        log.add(table.span, what);
        return None;
    }
    let address = table.text("address", log, address);
    let token = variables::filled(&mut table, "token", is_literal, ctx.env, log).1;
    let token = token.check("token", log, |token| {
        if token.is_empty() {
            return Err("is empty; leave it out to let everyone read /metrics".to_owned());
        }
        match token.bytes().all(|b| b.is_ascii_graphic()) {
            true => Ok(Secret::new(token)),
            false => Err(
                "must be of letters, digits and signs of ASCII, without blanks: it is a \
                          Bearer token (RFC 6750)"
                    .to_owned(),
            ),
        }
    });
    table.finish(log);
    if let Some(address) = address.get()
        && !address.ip().to_canonical().is_loopback()
        && token.is_absent()
    {
        warnings.push(format!(
            "`address` of [listen] is {address}, and there is no `token`: all who reach it can read \
             /metrics; set `token`, or listen on 127.0.0.1"
        ));
    }
    let sound = !token.is_bad();
    Some(Listen {
        address: address.value().filter(|_| sound)?,
        token: token.value(),
    })
}

fn address(text: &str) -> Result<SocketAddr, String> {
    const FORM: &str =
        "must be an IP address and a port such as \"127.0.0.1:8099\" or \"[::1]:8099\"";
    match text.parse::<SocketAddr>() {
        Ok(address) if address.port() == 0 => Err(format!("{FORM}; there is no port 0")),
        Ok(address) => Ok(address),
        Err(_) => Err(FORM.to_owned()),
    }
}
