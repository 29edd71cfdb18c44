//! Which agent account a worker spends from. Workers with the same one share its limits.

use std::collections::{BTreeMap, HashMap};

use sha2::{Digest, Sha256};
use shared::{
    Specialty,
    config::{AgentConfig, Driver, given},
    lifecycle::UnixMs,
    queue::{AccountStanding, MicroUsd, Queue, QueueError},
    worker_info::AccountInfo,
};

/// Less than this buys no call of an agent: one cent.
pub(crate) const CALL_MICRO_USD_MIN: MicroUsd = 10_000;

/// What a worker's agents spend from, by specialty.
pub struct Accounts {
    default: Purse,
    by_specialty: BTreeMap<String, Purse>,
}

/// What the tasks of a specialty are paid from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Purse {
    /// `None` where no limits are known.
    pub account: Option<Account>,
    /// What one task may cost in all its runs; `None` without a budget.
    pub micro_usd_per_task: Option<MicroUsd>,
}

/// An account, and how much of it this worker's agents may spend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its name in Redis.
    pub name: String,
    /// What all who share it may spend in a day of UTC before this worker stops.
    pub micro_usd_per_day: Option<MicroUsd>,
}

impl Account {
    /// What may still be spent today; `None` without a budget.
    pub fn left_today(&self, standing: &AccountStanding) -> Option<MicroUsd> {
        self.micro_usd_per_day.map(|budget| budget.saturating_sub(standing.spent_today))
    }

    /// Until when nothing is claimed for it: it met a limit, or what is left of the day's budget buys nothing.
    pub fn rests_until(&self, standing: &AccountStanding) -> Option<UnixMs> {
        let spent = self.left_today(standing).is_some_and(|left| left < CALL_MICRO_USD_MIN);
        standing.limited_until.max(spent.then_some(standing.day_ends_at))
    }
}

/// How the accounts of some specialties stand.
#[derive(Debug, Default)]
pub struct Standings {
    /// Of which nothing is claimed, and until when by Redis' clock.
    pub resting: BTreeMap<Specialty, UnixMs>,
    /// Each account once for each budget.
    pub accounts: Vec<AccountInfo>,
}

impl Accounts {
    pub fn new(config: &AgentConfig) -> Self {
        let names = config.specialty.keys().filter_map(|name| name.parse::<Specialty>().ok());
        let by_specialty =
            names.map(|name| (name.to_string(), Purse::of(&config.for_specialty(&name)))).collect();
        Self { default: Purse::of(config), by_specialty }
    }

    /// The account that tasks of `specialty` spend from, where it has limits.
    pub fn of(&self, specialty: &Specialty) -> Option<&Account> {
        self.purse(specialty).account.as_ref()
    }

    /// What tasks of `specialty` are paid from.
    pub fn purse(&self, specialty: &Specialty) -> &Purse {
        self.by_specialty.get(specialty.as_str()).unwrap_or(&self.default)
    }

    /// How the accounts of `specialties` stand; each is asked for once.
    pub async fn standings(&self, queue: &Queue, specialties: &[Specialty]) -> Result<Standings, QueueError> {
        let mut asked: HashMap<&str, AccountStanding> = HashMap::new();
        let mut standings = Standings::default();
        for specialty in specialties {
            let Some(account) = self.of(specialty) else { continue };
            let standing = match asked.get(account.name.as_str()) {
                Some(standing) => *standing,
                None => queue.account_standing(&account.name).await?,
            };
            asked.insert(&account.name, standing);
            standings.resting.extend(account.rests_until(&standing).map(|until| (specialty.clone(), until)));
            let info = AccountInfo {
                name: account.name.clone(),
                micro_usd_today: standing.spent_today,
                micro_usd_per_day: account.micro_usd_per_day,
            };
            if !standings.accounts.contains(&info) {
                standings.accounts.push(info);
            }
        }
        Ok(standings)
    }
}

impl Purse {
    fn of(agent: &AgentConfig) -> Self {
        let budget = |usd| Some(micro_usd(usd)).filter(|budget| *budget > 0);
        let micro_usd_per_day = budget(agent.budget_usd_per_day);
        let account = account_name(agent).map(|name| Account { name, micro_usd_per_day });
        Self { account, micro_usd_per_task: budget(agent.max_budget_usd) }
    }
}

/// Dollars in millionths, rounded up; what is no sum of money is none.
pub(crate) fn micro_usd(usd: f64) -> MicroUsd {
    // A cast saturates, and makes 0 of what is negative or no number.
    (usd * 1_000_000.0).ceil() as MicroUsd
}

/// The account's name in Redis: as configured, else a digest of the credential; `None` where no limits are
/// known of (another program than a metered CLI, or a login of the machine's own user).
fn account_name(agent: &AgentConfig) -> Option<String> {
    if !agent.account.is_empty() {
        return Some(agent.account.clone());
    }
    let credential = match agent.driver {
        Driver::Claude => given(&agent.claude_code_oauth_token).or_else(|| given(&agent.anthropic_api_key)),
        Driver::Codex => given(&agent.openai_api_key),
        Driver::Gemini => given(&agent.gemini_api_key),
        Driver::Command => None,
    }?;
    let digest = Sha256::digest(format!("claude-cluster account {credential}"));
    Some(hex::encode(&digest[..8]))
}

#[cfg(test)]
mod tests {
    use shared::config::{Config, SpecialtyAgent};

    use super::*;

    #[test]
    fn the_same_credential_is_the_same_account_and_its_text_is_not_in_the_name() {
        let mut agent = Config::defaults().unwrap().agent;
        assert_eq!(account_name(&agent), None);
        agent.anthropic_api_key = "sk-dummy".to_owned().into();
        let name = account_name(&agent).unwrap();
        assert_eq!(account_name(&agent.clone()).as_deref(), Some(name.as_str()));
        assert!(!name.contains("dummy") && name.len() == 16);
        agent.account = "team".to_owned();
        assert_eq!(account_name(&agent).as_deref(), Some("team"));
    }

    #[test]
    fn specialties_with_another_agent_have_another_account() {
        let mut agent = Config::defaults().unwrap().agent;
        agent.account = "team".to_owned();
        agent.openai_api_key = "sk-dummy".to_owned().into();
        let codex = SpecialtyAgent { driver: Some(Driver::Codex), ..SpecialtyAgent::default() };
        let model = SpecialtyAgent { model: Some("haiku".to_owned()), ..SpecialtyAgent::default() };
        agent.specialty.insert("frontend".to_owned(), codex);
        agent.specialty.insert("testing".to_owned(), model);
        let accounts = Accounts::new(&agent);
        let of = |name: &str| accounts.of(&name.parse().unwrap()).map(|account| account.name.as_str());
        assert_eq!((of("backend"), of("testing")), (Some("team"), Some("team")));
        assert_eq!(of("frontend").unwrap().len(), 16);
    }

    #[test]
    fn an_account_rests_until_its_limit_ends_and_the_day_in_which_its_budget_was_spent() {
        let account = Account { name: "team".to_owned(), micro_usd_per_day: Some(1_000_000) };
        let standing =
            |limited_until, spent_today| AccountStanding { limited_until, spent_today, day_ends_at: 50 };
        assert_eq!(account.rests_until(&standing(None, 990_000)), None);
        assert_eq!(account.rests_until(&standing(None, 990_001)), Some(50), "no call costs less than a cent");
        assert_eq!(account.rests_until(&standing(Some(70), 2_000_000)), Some(70));
        assert_eq!(account.rests_until(&standing(Some(40), 2_000_000)), Some(50));
        let unlimited = Account { micro_usd_per_day: None, ..account };
        assert_eq!(unlimited.rests_until(&standing(None, u64::MAX)), None);
    }

    #[test]
    fn what_is_no_sum_of_money_costs_nothing() {
        let sums = [0.000_000_1, 1.25, -3.0, f64::NAN, f64::INFINITY];
        assert_eq!(sums.map(micro_usd), [1, 1_250_000, 0, 0, u64::MAX]);
    }
}
