//! Which specialties this worker serves.

use std::sync::{Mutex, PoisonError};

use shared::{
    Specialty,
    queue::{Queue, QueueError},
    specialty::InvalidSpecialty,
};

/// The word for every stream there is.
pub const ALL: &str = "all";

/// The served specialties: a fixed list, or all that are known, which can grow.
#[derive(Debug)]
pub struct Specialties {
    all: bool,
    known: Mutex<Vec<Specialty>>,
}

impl Specialties {
    /// From the names of the configuration; `all` among them means every one.
    pub fn parse(names: &[String]) -> Result<Self, InvalidSpecialty> {
        let all = names.iter().any(|name| name == ALL);
        let known = if all {
            Specialty::built_in()
        } else {
            let mut known: Vec<Specialty> =
                names.iter().map(|name| name.parse()).collect::<Result<_, _>>()?;
            known.sort();
            known.dedup();
            known
        };
        Ok(Self { all, known: Mutex::new(known) })
    }

    pub fn now(&self) -> Vec<Specialty> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Learns of specialties that others use; whether the list has grown.
    pub async fn refresh(&self, queue: &Queue) -> Result<bool, QueueError> {
        if !self.all {
            return Ok(false);
        }
        let found = queue.specialties().await?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let before = known.len();
        known.extend(found);
        known.sort();
        known.dedup();
        Ok(known.len() > before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_means_the_built_in_ones_and_names_are_checked() {
        assert_eq!(Specialties::parse(&["all".to_owned()]).unwrap().now().len(), 5);
        let two = Specialties::parse(&["testing".to_owned(), "backend".to_owned(), "testing".to_owned()]);
        assert_eq!(two.unwrap().now().len(), 2);
        assert!(Specialties::parse(&["No Such".to_owned()]).is_err());
    }
}
