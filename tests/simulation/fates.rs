//! Faults of a day other than outages of sites: a machine that lacks resources, an unreliable name
//! server, a refused bot, a group that moves, blocked routes to Telegram. Each kind has its own
//! dice, so that it doesn't change the rest of a day.

use crate::dice::{Dice, Span, joined};
use crate::draw::apart;
use crate::plan::*;

/// Adds all of them.
pub fn befall(plan: Plan) -> Plan {
    blocked(channels(group_moves(bot_refused(names_half_dead(
        parent_unseen(machine(plan)),
    )))))
}

/// This machine lacks descriptors or an address for a while.
fn machine(mut plan: Plan) -> Plan {
    let dice = &mut Dice::new(plan.seed ^ 0x006c_6163_6b73);
    let until = plan.calm_from;
    if dice.chance(30) {
        let count = dice.between(1, 3);
        plan.lacking = spans(dice, count, 10 * SECOND, HOUR, until);
    }
    let mut away = Vec::new();
    if dice.chance(20) {
        let count = dice.between(1, 2);
        away = spans(dice, count, 5 * SECOND, 10 * MINUTE, until);
    }
    for end in &plan.ends {
        if let When::At(at) = end.when
            && dice.chance(50)
        {
            let up = at + end.off;
            let late = Span::new(up - SECOND, up + dice.between(5 * SECOND, 50 * SECOND));
            away.extend((late.to < until).then_some(late));
        }
    }
    no_address(plan, away)
}

/// A site hangs, and while it is about to be judged its parent can't be checked.
fn parent_unseen(mut plan: Plan) -> Plan {
    let dice = &mut Dice::new(plan.seed ^ 0x7061_7265_6e74);
    let children = 0..plan.sites.len();
    let children: Vec<usize> = children
        .filter(|&at| plan.sites[at].site.after.is_some())
        .collect();
    if children.is_empty() || !dice.chance(25) {
        return plan;
    }
    let site = &mut plan.sites[dice.pick(&children)];
    let once = millis(site.site.retry) + millis(site.site.timeout);
    let judged = site.judged_within();
    let from = dice.between(10 * MINUTE, plan.calm_from - HOUR);
    let span = Span::new(from, from + judged + 10 * MINUTE);
    let mut outages = site.outages.clone();
    let fault = Fault::Hangs;
    outages.push(Outage { span, fault });
    site.outages = apart(outages);
    let gone = from + dice.between(judged - 2 * once, judged);
    no_address(
        plan,
        vec![Span::new(gone, gone + dice.between(MINUTE, 4 * MINUTE))],
    )
}

/// Cuts the uplink and the local network.
fn no_address(mut plan: Plan, mut away: Vec<Span>) -> Plan {
    away.extend(&plan.unaddressed);
    plan.unaddressed = joined(away, 2 * SECOND);
    let away = plan.unaddressed.iter().copied();
    if plan.uplink {
        plan.cuts.extend(away);
        plan.cuts = joined(std::mem::take(&mut plan.cuts), 500);
    } else {
        plan.telegram_out.extend(away);
        plan.telegram_out = joined(std::mem::take(&mut plan.telegram_out), 0);
    }
    plan
}

/// The name server answers for a few seconds, then not, again and again.
fn names_half_dead(mut plan: Plan) -> Plan {
    let dice = &mut Dice::new(plan.seed ^ 0x6e61_6d65_7321);
    if plan.uplink && dice.chance(25) {
        let times = dice.between(5, 30);
        let off = (3 * SECOND, 40 * SECOND);
        let lost = burst(dice, off, (2 * SECOND, 90 * SECOND), times, plan.calm_from);
        plan.names_lost.extend(lost);
        plan.names_lost = joined(std::mem::take(&mut plan.names_lost), 500);
    }
    plan
}

/// The bot's token is revoked for a while, or another program polls its updates.
fn bot_refused(mut plan: Plan) -> Plan {
    let dice = &mut Dice::new(plan.seed ^ 0x0034_3031_3430_3900);
    if dice.chance(20) {
        let count = dice.between(1, 2);
        plan.revoked = spans(dice, count, MINUTE, 2 * HOUR, plan.calm_from - 10 * MINUTE);
    }
    if dice.chance(20) {
        let count = dice.between(1, 3);
        plan.conflicts = spans(dice, count, 10 * SECOND, HOUR, plan.calm_from - 10 * MINUTE);
    }
    plan
}

/// Telegram is blocked on some routes, each for a while; the direct route often to the end.
fn blocked(mut plan: Plan) -> Plan {
    let dice = &mut Dice::new(plan.seed ^ 0x726f_7574_6573);
    if !dice.chance(45) {
        return plan;
    }
    plan.routes = dice.between(2, 3) as usize;
    let how = |dice: &mut Dice| dice.pick(&[Block::Reset, Block::Page, Block::Hangs]);
    for route in 0..plan.routes {
        let count = dice.between(0, 3);
        for span in spans(dice, count, 30 * SECOND, 5 * HOUR, plan.calm_from) {
            plan.blocked.push((span, route, how(dice)));
        }
    }
    if dice.chance(50) {
        let from = dice.between(0, plan.calm_from);
        let span = Span::new(from, plan.end);
        plan.blocked.insert(0, (span, 0, how(dice)));
    }
    plan
}

/// The group becomes a supergroup. Later the file may name the new id, instead of the old one or
/// beside it.
fn group_moves(mut plan: Plan) -> Plan {
    let dice = &mut Dice::new(plan.seed ^ 0x6d6f_7665_6421);
    if !plan.chats.contains(&GROUP) || !dice.chance(40) {
        return plan;
    }
    let at = dice.between(MINUTE, plan.calm_from - HOUR);
    let (chat, text) = (GROUP, MOVES.to_owned());
    plan.written.push(Written { at, chat, text });
    plan.written.sort_by_key(|w| w.at);
    let configured = match dice.between(0, 3) {
        // After a full disk the agent may not remember an id that the file no longer names.
        0 => Some((at + dice.scale(SECOND, HOUR), !plan.disk_full.is_empty())),
        1 => Some((at + dice.scale(SECOND, HOUR), true)),
        2 => Some((at - dice.scale(SECOND, HOUR), true)),
        _ => None,
    };
    plan.reloads.extend(configured.map(|(at, _)| at));
    plan.reloads.sort_unstable();
    plan.moved = Some(Moved { at, configured });
    plan
}

/// Alerts are also sent by channels, whose server fails at times.
fn channels(mut plan: Plan) -> Plan {
    let dice = &mut Dice::new(plan.seed ^ 0x6368_616e_6e65_6c73);
    if dice.chance(70) {
        let until = plan.calm_from;
        let out = dice.between(0, 4);
        let ambiguous = dice.between(0, 2);
        plan.channels = Some(ChannelsPlan {
            out: spans(dice, out, 10 * SECOND, 3 * HOUR, until),
            ambiguous: spans(dice, ambiguous, MINUTE, 2 * HOUR, until),
            fails: dice.pick(&[MINUTE, 5 * MINUTE]),
            unacknowledged: dice.pick(&[5 * MINUTE, 15 * MINUTE]),
        });
    }
    plan
}
