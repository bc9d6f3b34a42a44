//! A driver that is loaded when it is first needed: much of what a client asks needs none.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

use crate::contract::Description;
use crate::sandbox::{Cache, Driver, Error, Limits};

/// A driver component with its limits.
#[derive(Debug)]
pub struct LazyDriver {
    component: Cow<'static, [u8]>,
    limits: Limits,
    cache: Option<Cache>,
    loaded: Mutex<Option<Arc<Loaded>>>,
}

/// A driver that is loaded, and what it is.
#[derive(Debug)]
pub struct Loaded {
    /// The driver.
    pub driver: Driver,
    /// What it told of itself.
    pub description: Description,
}

impl LazyDriver {
    /// The driver in `component`, whose compiled code is kept in `cache`.
    pub fn new(
        component: impl Into<Cow<'static, [u8]>>,
        limits: Limits,
        cache: Option<Cache>,
    ) -> Self {
        Self {
            component: component.into(),
            limits,
            cache,
            loaded: Mutex::default(),
        }
    }

    /// The loaded driver.
    ///
    /// # Errors
    ///
    /// If it is no driver that this host can run. The next call tries again.
    pub fn loaded(&self) -> Result<Arc<Loaded>, Error> {
        let mut slot = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(loaded) = &*slot {
            return Ok(Arc::clone(loaded));
        }
        let driver = Driver::load(&self.component, self.limits, self.cache.as_ref())?;
        let description = driver.describe()?;
        let loaded = Arc::new(Loaded {
            driver,
            description,
        });
        *slot = Some(Arc::clone(&loaded));
        Ok(loaded)
    }
}
