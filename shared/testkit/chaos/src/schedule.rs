//! What goes wrong, and when: everything follows from a seed.

use std::time::Duration;

use fastrand::Rng;
use testkit::fault_proxy::{Direction, Mode};

/// One thing that is done to the cluster. Members are numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL.
    Kill(usize),
    Start(usize),
    /// SIGSTOP.
    Freeze(usize),
    Thaw(usize),
    /// All connections of the member to Redis are closed.
    Cut(usize),
    /// They are closed and refused.
    Refuse(usize),
    Network(usize, Direction, Mode),
    /// The member's network is as it was.
    Heal(usize),
    KillRedis,
    StartRedis,
    FreezeRedis,
    ThawRedis,
    /// Redis and all members are killed.
    StopAll,
    StartAll,
}

/// A fault and its time since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    pub at: Duration,
    pub fault: Fault,
}

/// What a schedule is made for.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub members: usize,
    /// From the first fault to the last.
    pub length: Duration,
    /// The mean time between two faults.
    pub pace: Duration,
    pub lease: Duration,
}

/// Faults in the order of their times, each with what ends it.
pub fn schedule(seed: u64, shape: Shape) -> Vec<Step> {
    let mut rng = Rng::with_seed(seed);
    let mut steps = Vec::new();
    let mut at = shape.pace;
    while at < shape.length {
        let (fault, end, after) = pick(&mut rng, shape);
        steps.push(Step { at, fault });
        steps.extend(end.map(|fault| Step { at: at + after, fault }));
        at += shape.pace.mul_f64(0.5 + rng.f64());
    }
    steps.sort_by_key(|step| step.at);
    steps
}

/// A fault, what ends it, and after how long.
fn pick(rng: &mut Rng, shape: Shape) -> (Fault, Option<Fault>, Duration) {
    let member = rng.usize(..shape.members);
    let leases = |from: f64, to: f64, rng: &mut Rng| shape.lease.mul_f64(from + rng.f64() * (to - from));
    let briefly = leases(0.05, 0.6, rng);
    let direction = if rng.bool() { Direction::ToServer } else { Direction::ToClient };
    match rng.u32(..100) {
        0..28 => (Fault::Kill(member), Some(Fault::Start(member)), leases(0.0, 1.5, rng)),
        28..50 => (Fault::Freeze(member), Some(Fault::Thaw(member)), leases(1.2, 2.5, rng)),
        50..56 => (Fault::Freeze(member), Some(Fault::Thaw(member)), briefly),
        56..68 => (Fault::Cut(member), None, Duration::ZERO),
        68..73 => (Fault::Refuse(member), Some(Fault::Heal(member)), leases(0.2, 2.0, rng)),
        73..80 => {
            let late = Mode::Delay(Duration::from_millis(rng.u64(5..60)));
            (Fault::Network(member, direction, late), Some(Fault::Heal(member)), leases(0.5, 1.5, rng))
        }
        80..87 => (
            Fault::Network(member, direction, Mode::Swallow),
            Some(Fault::Heal(member)),
            leases(0.1, 1.5, rng),
        ),
        87..92 => {
            (Fault::Network(member, direction, Mode::Hold), Some(Fault::Heal(member)), leases(0.3, 2.0, rng))
        }
        92..96 => (Fault::KillRedis, Some(Fault::StartRedis), briefly),
        96..98 => (Fault::FreezeRedis, Some(Fault::ThawRedis), leases(0.3, 1.5, rng)),
        _ => (Fault::StopAll, Some(Fault::StartAll), briefly),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape {
        members: 6,
        length: Duration::from_secs(600),
        pace: Duration::from_millis(500),
        lease: Duration::from_secs(1),
    };

    #[test]
    fn a_seed_gives_the_same_schedule_each_time_and_another_seed_another() {
        assert_eq!(schedule(7, SHAPE), schedule(7, SHAPE));
        assert_ne!(schedule(7, SHAPE), schedule(8, SHAPE));
    }

    #[test]
    fn a_long_schedule_has_every_fault_and_ends_each() {
        let steps = schedule(1, SHAPE);
        let count = |is: fn(&Fault) -> bool| steps.iter().filter(|step| is(&step.fault)).count();
        for (begins, ends) in [
            (count(|f| matches!(f, Fault::Kill(_))), count(|f| matches!(f, Fault::Start(_)))),
            (count(|f| matches!(f, Fault::Freeze(_))), count(|f| matches!(f, Fault::Thaw(_)))),
            (
                count(|f| matches!(f, Fault::Refuse(_) | Fault::Network(..))),
                count(|f| matches!(f, Fault::Heal(_))),
            ),
            (count(|f| *f == Fault::KillRedis), count(|f| *f == Fault::StartRedis)),
            (count(|f| *f == Fault::FreezeRedis), count(|f| *f == Fault::ThawRedis)),
            (count(|f| *f == Fault::StopAll), count(|f| *f == Fault::StartAll)),
        ] {
            assert!(begins > 0 && begins == ends, "{begins} begin, {ends} end");
        }
    }
}
