//! Events that wait for the store, in parts as it takes them.

use std::collections::VecDeque;

use super::LoggedEvent;

/// A queue of events: a part of it goes to the store as it is, and no event moves when the queue grows.
#[derive(Debug, Default)]
pub(super) struct WaitingEvents {
    /// None is empty.
    parts: VecDeque<Vec<LoggedEvent>>,
    len: usize,
}

impl WaitingEvents {
    /// Most events of a part, so that what waits for the store behind it waits briefly.
    pub(super) const PART: usize = 256;

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn push(&mut self, event: LoggedEvent) {
        self.len += 1;
        match self.parts.back_mut() {
            Some(last) if last.len() < Self::PART => last.push(event),
            last => {
                // Where one part is full, the next one will be.
                let mut part = Vec::with_capacity(if last.is_some() { Self::PART } else { 1 });
                part.push(event);
                self.parts.push_back(part);
            }
        }
    }

    pub(super) fn push_first(&mut self, event: LoggedEvent) {
        self.len += 1;
        self.parts.push_front(vec![event]);
    }

    pub(super) fn first_mut(&mut self) -> Option<&mut LoggedEvent> {
        self.parts.front_mut()?.first_mut()
    }

    pub(super) fn last_mut(&mut self) -> Option<&mut LoggedEvent> {
        self.parts.back_mut()?.last_mut()
    }

    /// Takes the first part out, if it has at most so many events. A part stays whole: room for an event or two at a time would
    /// make many small parts of it, and each costs the store as much as a whole one.
    pub(super) fn take(&mut self, most: usize) -> Option<Vec<LoggedEvent>> {
        self.parts.front().filter(|part| part.len() <= most)?;
        let part = self.parts.pop_front()?;
        self.len -= part.len();
        Some(part)
    }

    /// Puts the events of another queue behind these.
    pub(super) fn append(&mut self, mut other: Self) {
        self.len += other.len;
        self.parts.append(&mut other.parts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ProjectEvent;

    fn event(time: u64) -> LoggedEvent {
        LoggedEvent { time, event: ProjectEvent::LogGap { lost: 1 } }
    }

    #[test]
    fn events_leave_in_their_order_in_whole_parts() {
        let (mut waiting, mut later) = (WaitingEvents::default(), WaitingEvents::default());
        (1..=600).for_each(|time| waiting.push(event(time)));
        (601..=900).for_each(|time| later.push(event(time)));
        waiting.append(later);
        waiting.push_first(event(0));
        assert_eq!(waiting.first_mut(), Some(&mut event(0)));
        assert_eq!(waiting.last_mut(), Some(&mut event(900)));
        assert_eq!(waiting.len(), 901);
        let (mut times, mut sizes) = (Vec::new(), Vec::new());
        for most in [0, 1, 0, 255, 256].into_iter().chain([usize::MAX; 10]) {
            if let Some(part) = waiting.take(most) {
                sizes.push(part.len());
                times.extend(part.iter().map(|event| event.time));
            }
            assert_eq!(waiting.len(), 901 - times.len());
        }
        assert!(waiting.is_empty() && times.iter().copied().eq(0..=900), "{times:?}");
        assert_eq!(sizes, [1, 256, 256, 88, 256, 44]);
    }
}
