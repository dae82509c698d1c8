//! Where a list of a project goes on: its cores come one after the other.

use super::{answers::ApiError, calls::Part};

/// A core of a project by its number, and a place in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) core: usize,
    pub(super) place: usize,
}

impl Spot {
    /// Where a part of a list begins.
    pub(super) fn of(part: &Part) -> Result<Self, ApiError> {
        Ok(Self::read(part.number()?.unwrap_or(0)))
    }

    fn read(number: u64) -> Self {
        let part = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        Self { core: part(number >> PLACE_BITS), place: part(number & (u64::MAX >> (64 - PLACE_BITS))) }
    }

    /// The value of `cursor` for it.
    pub(super) fn text(self) -> String {
        ((self.core as u64) << PLACE_BITS | self.place as u64).to_string()
    }

    /// Where to go on: at a place of the same core, or with the next of so many.
    pub(super) fn then(self, place: Option<usize>, cores: usize) -> Option<Self> {
        match place {
            Some(place) => Some(Self { place, ..self }),
            None => Some(Self { core: self.core + 1, place: 0 }).filter(|next| next.core < cores),
        }
    }
}

/// No core has more places.
const PLACE_BITS: u32 = 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spot_comes_back_from_its_text_and_the_cores_follow_each_other() {
        let spot = Spot { core: 63, place: (1 << PLACE_BITS) - 1 };
        assert_eq!(Spot::read(spot.text().parse().unwrap()), spot);
        assert_eq!(Spot { core: 0, place: 7 }.text(), "7");
        let first = Spot { core: 0, place: 9 };
        assert_eq!(first.then(Some(12), 2), Some(Spot { core: 0, place: 12 }));
        assert_eq!(first.then(None, 2), Some(Spot { core: 1, place: 0 }));
        assert_eq!(first.then(None, 1), None);
    }
}
