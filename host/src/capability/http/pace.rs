//! How often a server is called: as often as operations want, until it asks for less.
//!
//! A server that answers 429 (RFC 6585) means whoever calls it, not the one request that got the answer. So the operations of
//! a process share what it said: until the time is over that it asked for, none of them calls it, and afterwards their calls
//! come one after the other rather than all at once, the longer apart the more often it complains.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use memchr::memmem;

/// How long a server is left alone that does not say for how long.
const DEFAULT_WAIT: Duration = Duration::from_secs(1);

/// The longest time that a server is left alone for one answer. What it asks for beyond that is the driver's to wait for.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// The time between two calls after the first complaint, and the longest that it becomes.
const MIN_GAP: Duration = Duration::from_millis(10);
const MAX_GAP: Duration = Duration::from_millis(640);

/// With each call without a complaint the time between two becomes shorter by this part. Were they made as often as before at
/// once, many would be under way when the server complains again, and all of them be refused.
const EASING: u32 = 64;

/// When a server has not complained for so long, it is called at once again.
const FORGET: Duration = Duration::from_secs(60);

/// The pace of the calls to all servers, by their schemes, hosts and ports. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Pace(Arc<Mutex<BTreeMap<String, Server>>>);

#[derive(Debug, Default)]
struct Server {
    /// Until when it is not to be called.
    left_alone: Duration,
    /// When the next call may be made.
    next: Duration,
    /// The time from one call to the next.
    gap: Duration,
    /// When it complained last.
    complained: Option<Duration>,
    /// How often it has complained.
    complaints: u64,
}

/// A call to a server that has been reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    /// How long to wait for it.
    pub(super) wait: Duration,
    /// How often the server had complained when it was given.
    complaints: u64,
}

impl Pace {
    /// Reserves the next call to a server. Whoever has waited for it asks [`Self::holds`] then: the server may have complained
    /// meanwhile.
    pub(super) fn turn(&self, server: &str, now: Duration) -> Turn {
        let at_once = Turn {
            wait: Duration::ZERO,
            complaints: 0,
        };
        let mut servers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // One that has never complained has no entry.
        let Some(entry) = servers.get_mut(server) else {
            return at_once;
        };
        let turn = entry.next.max(entry.left_alone).max(now);
        let last = entry.complained.unwrap_or_default();
        if turn == now && now.saturating_sub(last) > FORGET {
            servers.remove(server);
            return at_once;
        }
        entry.next = turn.saturating_add(entry.gap);
        Turn {
            wait: turn.saturating_sub(now),
            complaints: entry.complaints,
        }
    }

    /// Whether a turn still counts, now that it has come: all those that were given before a complaint are given anew, further
    /// apart.
    pub(super) fn holds(&self, server: &str, turn: Turn, now: Duration) -> bool {
        let servers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        servers
            .get(server)
            .is_none_or(|server| server.complaints == turn.complaints && now >= server.left_alone)
    }

    /// Notes that a server complained of a call that was made at `called`, and for how long it wants to be left alone if it
    /// says so.
    pub(super) fn complained(
        &self,
        server: &str,
        called: Duration,
        now: Duration,
        wait: Option<Duration>,
    ) {
        let mut servers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let server = servers.entry(server.to_owned()).or_default();
        let until = now.saturating_add(wait.unwrap_or(DEFAULT_WAIT).min(MAX_WAIT));
        // Several calls that were under way are one complaint.
        if server.complained.is_none_or(|last| called > last) {
            server.gap = server.gap.saturating_mul(2).clamp(MIN_GAP, MAX_GAP);
            server.complaints = server.complaints.wrapping_add(1);
            server.next = until;
        }
        server.left_alone = server.left_alone.max(until);
        server.complained = Some(now);
    }

    /// Notes that a server answered without a complaint.
    pub(super) fn answered(&self, server: &str) {
        let mut servers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = servers.get_mut(server) {
            let eased = server.gap.checked_div(EASING).unwrap_or_default();
            server.gap = server.gap.saturating_sub(eased);
        }
    }
}

/// For how long a server wants to be left alone, as the body of its answer says it: CloudStack's `please retry after 300 ms`
/// has no header.
pub(super) fn wait_in(body: &[u8]) -> Option<Duration> {
    const PHRASE: &[u8] = b"retry after ";
    let place = memmem::find(body, PHRASE)?;
    let rest = body.get(place.checked_add(PHRASE.len())?..)?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, unit) = rest.split_at_checked(digits)?;
    let number: u64 = std::str::from_utf8(number).ok()?.parse().ok()?;
    match unit {
        [b' ', b'm', b's', ..] => Some(Duration::from_millis(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_server_that_never_complains_is_called_at_once() {
        let pace = Pace::default();
        for _ in 0..100 {
            assert_eq!(pace.turn("a", ms(5)).wait, Duration::ZERO);
            pace.answered("a");
        }
    }

    #[test]
    fn a_complaint_stops_all_calls_and_spreads_those_after_it() {
        let pace = Pace::default();
        pace.complained("a", ms(0), ms(100), Some(ms(300)));
        let other = pace.clone();
        let turns = [
            pace.turn("a", ms(100)).wait,
            other.turn("a", ms(150)).wait,
            pace.turn("a", ms(400)).wait,
        ];
        assert_eq!(turns, [ms(300), ms(260), ms(20)]);
        assert_eq!(pace.turn("b", ms(100)).wait, Duration::ZERO);
        let turn = pace.turn("a", ms(400));
        assert!(!pace.holds("a", turn, ms(399)) && pace.holds("a", turn, ms(400)));
        assert!(pace.holds("b", pace.turn("b", ms(100)), ms(100)));
        // What was under way by then is the same complaint; what was called later is another one.
        pace.complained("a", ms(90), ms(110), Some(ms(10)));
        let turn = pace.turn("a", ms(1_000));
        assert_eq!(pace.turn("a", ms(1_000)).wait, ms(10));
        pace.complained("a", ms(1_000), ms(1_010), None);
        assert!(!pace.holds("a", turn, ms(60_000)));
        assert_eq!(pace.turn("a", ms(1_010)).wait, ms(1_000));
        assert_eq!(pace.turn("a", ms(1_010)).wait, ms(1_020));
    }

    #[test]
    fn nobody_waits_for_ever_and_a_content_server_is_called_more_often_again() {
        let pace = Pace::default();
        pace.complained("a", ms(0), ms(0), Some(Duration::MAX));
        assert_eq!(pace.turn("a", ms(0)).wait, MAX_WAIT);
        for i in 1..100 {
            let now = MAX_WAIT + ms(i * 10);
            pace.complained("a", now, now, Some(ms(0)));
        }
        let now = MAX_WAIT + ms(1_000);
        pace.turn("a", now);
        assert_eq!(pace.turn("a", now).wait, MAX_GAP);
        pace.answered("a");
        let now = now + MAX_GAP * 2;
        pace.turn("a", now);
        assert_eq!(pace.turn("a", now).wait, ms(630));
        // One that nobody has called for long is called as if it had never complained.
        let later = MAX_WAIT * 10;
        assert_eq!(pace.turn("a", later).wait, Duration::ZERO);
        assert_eq!(pace.turn("a", later).wait, Duration::ZERO);
    }

    #[test]
    fn the_body_tells_how_long_to_wait() {
        let body =
            br#"{"errortext": "reached his/her account api limit, please retry after 300 ms."}"#;
        assert_eq!(wait_in(body), Some(ms(300)));
        for body in [
            "",
            "retry after ",
            "retry after 3 days",
            "retry after x ms",
            "retry after 99999999999999999999 ms",
        ] {
            assert_eq!(wait_in(body.as_bytes()), None, "{body}");
        }
    }
}
