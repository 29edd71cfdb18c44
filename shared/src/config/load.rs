//! Reading the configuration in layers.

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error(transparent)]
    Invalid(#[from] config::ConfigError),
}

impl super::Config {
    /// The shipped defaults alone.
    pub fn defaults() -> Result<Self, ConfigError> {
        let layers = config::Config::builder()
            .add_source(config::File::from_str(super::DEFAULT_TOML, config::FileFormat::Toml));
        Ok(layers.build()?.try_deserialize()?)
    }
}
