//! Reading the configuration in layers; what a later layer sets replaces what an earlier one set.

use std::{
    collections::HashMap,
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use config::{Map, Source, Value, builder::DefaultState};
use secrecy::ExposeSecret;

use super::{
    Config, ConfigError, DEFAULT_TOML, check, dotenv,
    schema::{Schema, bad, invalid, read_toml},
    setting::{self, Setting},
    value_file,
    variables::{CUSTOMARY, PREFIX, key_of},
};

/// Origin of what nobody set.
pub const BUILT_IN: &str = "built-in default";

/// Largest configuration file, in bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Where the layers come from. The library reads nothing that is not named here, not even the environment.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// TOML files, the weakest first.
    pub files: Vec<ConfigFile>,
    /// A `.env`, read for the names in the shipped `.env.example` only.
    pub dotenv: Option<PathBuf>,
    /// The process' environment.
    pub environment: HashMap<String, String>,
    /// Flags of the command line, the strongest layer.
    pub overrides: Vec<Override>,
}

/// A TOML file of settings.
#[derive(Clone, Debug)]
pub struct ConfigFile {
    pub path: PathBuf,
    /// Whether its absence is an error: a file that the user named.
    pub required: bool,
}

/// What a flag sets.
#[derive(Clone, Debug)]
pub struct Override {
    /// As the user writes it, such as `--max-tasks`.
    pub flag: &'static str,
    /// As `section.key`.
    pub key: &'static str,
    pub value: OverrideValue,
}

/// The value of a flag.
#[derive(Clone, Debug)]
pub enum OverrideValue {
    /// Read as the kind that the key holds.
    Text(String),
    List(Vec<String>),
}

impl Override {
    pub fn text(flag: &'static str, key: &'static str, value: impl Into<String>) -> Self {
        Self { flag, key, value: OverrideValue::Text(value.into()) }
    }

    pub fn list(flag: &'static str, key: &'static str, value: Vec<String>) -> Self {
        Self { flag, key, value: OverrideValue::List(value) }
    }
}

/// A configuration that passed every check.
#[derive(Debug)]
pub struct Loaded {
    pub config: Config,
    /// Every effective value with its source, secrets masked.
    pub settings: Vec<Setting>,
    /// What works and still deserves a word.
    pub warnings: Vec<String>,
}

/// Reads all layers, each checked by itself for keys and kinds so that an error names its place, then the whole for
/// values that do not go together.
pub fn load(sources: &Sources) -> Result<Loaded, ConfigError> {
    let schema = Schema::shipped()?;
    let mut warnings = Vec::new();
    let mut layers = vec![(BUILT_IN.to_owned(), read_toml(BUILT_IN, DEFAULT_TOML)?)];
    for file in &sources.files {
        if let Some(layer) = file_layer(&schema, file, &mut warnings)? {
            layers.push((file.path.display().to_string(), layer));
        }
    }
    if let Some(layer) = sources.dotenv.as_deref().map(|path| dotenv_layer(&schema, path, &mut warnings)) {
        layers.extend(layer?);
    }
    layers.extend(environment_layers(&schema, &sources.environment)?);
    for flag in &sources.overrides {
        layers.push((flag.flag.to_owned(), override_layer(&schema, flag)?));
    }
    let home = sources.environment.get("HOME").map(String::as_str);
    for (origin, tables) in &mut layers {
        for file in value_file::resolve(origin, tables, home)? {
            warn_if_readable_by_all(&file, &mut warnings);
        }
    }
    let merged = merge(layers)?;
    let mut config = deserialize(merged.clone(), BUILT_IN)?;
    expand_home(&mut config, home);
    let settings = setting::list(&merged);
    check::check(&config, &settings)?;
    Ok(Loaded { config, settings, warnings })
}

impl Config {
    /// The shipped defaults alone.
    pub fn defaults() -> Result<Self, ConfigError> {
        load(&Sources::default()).map(|loaded| loaded.config)
    }
}

type Tables = Map<String, Value>;
type Layer = (String, Tables);

/// A layer as the `config` crate takes it.
#[derive(Clone, Debug)]
struct Tabled(Tables);

impl Source for Tabled {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Tables, config::ConfigError> {
        Ok(self.0.clone())
    }
}

/// Lays one layer over the other. Each step is read as a whole `Config`, so that a value of the right kind and the
/// wrong content (an unknown driver, a malformed address) is blamed on the layer that brought it.
fn merge(layers: Vec<Layer>) -> Result<config::Config, ConfigError> {
    let mut builder = config::ConfigBuilder::<DefaultState>::default();
    let mut merged = config::Config::default();
    for (origin, tables) in layers {
        builder = builder.add_source(Tabled(tables));
        merged = builder.build_cloned().map_err(|error| invalid(&origin, &error))?;
        deserialize(merged.clone(), &origin)?;
    }
    Ok(merged)
}

fn deserialize(merged: config::Config, origin: &str) -> Result<Config, ConfigError> {
    merged.try_deserialize().map_err(|error| invalid(origin, &error))
}

fn file_layer(
    schema: &Schema,
    file: &ConfigFile,
    warnings: &mut Vec<String>,
) -> Result<Option<Tables>, ConfigError> {
    let Some(text) = read(&file.path, file.required)? else { return Ok(None) };
    let origin = file.path.display().to_string();
    let tables = read_toml(&origin, &text)?;
    schema.check(&origin, &tables)?;
    if setting::flatten(&tables).iter().any(|(key, value)| setting::holds_secret(key, value)) {
        warn_if_readable_by_all(&file.path, warnings);
    }
    Ok(Some(tables))
}

fn dotenv_layer(schema: &Schema, path: &Path, warnings: &mut Vec<String>) -> Result<Vec<Layer>, ConfigError> {
    let Some(text) = read(path, false)? else { return Ok(Vec::new()) };
    let file = path.display().to_string();
    let assignments = dotenv::parse(&text).map_err(|malformed| ConfigError::Syntax {
        origin: file.clone(),
        line: Some(malformed.line),
        problem: malformed.problem.to_owned(),
    })?;
    let mut layers = Vec::new();
    for (name, value) in assignments.iter().filter(|(_, value)| !value.is_empty()) {
        if let Some(known) = CUSTOMARY.iter().find(|known| known.in_dotenv && known.name == name) {
            let origin = format!("{file}: {name}");
            let tables = single(schema, &origin, known.key, value)?;
            if setting::SECRET_KEYS.contains(&known.key) {
                warn_if_readable_by_all(path, warnings);
            }
            layers.push((origin, tables));
        }
    }
    Ok(layers)
}

fn environment_layers(
    schema: &Schema,
    environment: &HashMap<String, String>,
) -> Result<Vec<Layer>, ConfigError> {
    let mut layers = Vec::new();
    // An empty customary variable is what a container tool makes of one that its user left out.
    for known in &CUSTOMARY {
        let file = value_file::key_for(known.key).map(|key| (format!("{}_FILE", known.name), key));
        // Last, because the variable itself wins over the file.
        for (name, key) in file.into_iter().chain([(known.name.to_owned(), known.key.to_owned())]) {
            if let Some(value) = environment.get(&name).filter(|value| !value.is_empty()) {
                let origin = format!("environment variable {name}");
                let tables = single(schema, &origin, &key, value)?;
                layers.push((origin, tables));
            }
        }
    }
    let mut own: Vec<_> = environment.iter().filter(|(name, _)| name.starts_with(PREFIX)).collect();
    own.sort();
    for (name, value) in own {
        let origin = format!("environment variable {name}");
        if let Some(key) = key_of(name) {
            let tables = single(schema, &origin, &key, value)?;
            layers.push((origin, tables));
        }
    }
    Ok(layers)
}

fn override_layer(schema: &Schema, flag: &Override) -> Result<Tables, ConfigError> {
    match &flag.value {
        OverrideValue::Text(text) => single(schema, flag.flag, flag.key, text),
        OverrideValue::List(items) => {
            Ok(table_of(flag.flag, flag.key, Value::new(Some(&flag.flag.to_owned()), items.clone())))
        }
    }
}

/// A layer of one key whose value is given as text.
fn single(schema: &Schema, origin: &str, key: &str, text: &str) -> Result<Tables, ConfigError> {
    let kind = schema.kind(origin, key)?;
    let value = kind.parse(origin, text).map_err(|problem| bad(origin, key, &problem))?;
    Ok(table_of(origin, key, value))
}

/// Tables around `value`, one for each part of `key` but the last.
fn table_of(origin: &str, key: &str, value: Value) -> Tables {
    let Some((section, key)) = key.split_once('.') else {
        return Tables::from_iter([(key.to_owned(), value)]);
    };
    let inner = table_of(origin, key, value);
    Tables::from_iter([(section.to_owned(), Value::new(Some(&origin.to_owned()), inner))])
}

fn read(path: &Path, required: bool) -> Result<Option<String>, ConfigError> {
    let refuse = |source| Err(ConfigError::Read { path: path.to_owned(), source });
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && !required => return Ok(None),
        Err(error) => return refuse(error),
        // A pipe, as `<(...)` makes, has no length and is fine.
        Ok(facts) if facts.len() > FILE_BYTES_MAX => {
            return refuse(io::Error::other("it is larger than 1 MiB"));
        }
        Ok(facts) if facts.is_dir() => return refuse(io::Error::other("it is a directory")),
        Ok(_) => {}
    }
    fs::read_to_string(path).map(Some).or_else(refuse)
}

fn warn_if_readable_by_all(path: &Path, warnings: &mut Vec<String>) {
    let open = fs::metadata(path).is_ok_and(|facts| facts.permissions().mode() & 0o004 != 0);
    let warning = format!(
        "{} holds a secret and every user of this machine can read it; run: chmod 600 {0}",
        path.display()
    );
    if open && !warnings.contains(&warning) {
        warnings.push(warning);
    }
}

/// `~/` at the start of a path stands for the home directory.
fn expand_home(config: &mut Config, home: Option<&str>) {
    let Some(home) = home else { return };
    let expand =
        |path: &str| path.strip_prefix("~/").map(|rest| format!("{}/{rest}", home.trim_end_matches('/')));
    for path in [&mut config.workspace.root, &mut config.classify.terms_file] {
        if let Some(expanded) = path.to_str().and_then(expand) {
            *path = expanded.into();
        }
    }
    let repositories = config.repository.iter_mut().map(|entry| &mut entry.url);
    let sections = config.agent.specialty.values_mut().filter_map(|section| section.command.as_mut());
    let programs = sections.chain([&mut config.agent.command]).filter_map(|command| command.first_mut());
    let texts = config.sandbox.tool_paths.iter_mut().chain(programs).chain(repositories);
    for text in texts {
        if let Some(expanded) = expand(text) {
            *text = expanded;
        }
    }
    if let Some(expanded) = config.redis.url.expose_secret().strip_prefix("unix://").and_then(expand) {
        config.redis.url = format!("unix://{expanded}").into();
    }
}
