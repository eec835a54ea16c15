import ArgumentParser
import Session

/// How text is shown on a terminal.
struct ColorOptions: ParsableArguments {
  @Option(help: "Colours in text: auto (on a terminal, without NO_COLOR), always or never.")
  var color = DisplaySettings.Color.auto

  var settings: DisplaySettings {
    var settings = DisplaySettings()
    settings.color = color
    return settings
  }
}

extension DisplaySettings.Color: ExpressibleByArgument {}

/// The same for text with call stacks.
struct DisplayOptions: ParsableArguments {
  @OptionGroup var colors: ColorOptions

  @Flag(help: "Show frames of allocators, runtimes and std in stacks, too.")
  var fullStacks = false

  var settings: DisplaySettings {
    var settings = colors.settings
    settings.fullStacks = fullStacks
    return settings
  }
}

/// For commands that end with one text.
struct PagerOptions: ParsableArguments {
  @Flag(name: .customLong("no-pager"), help: "Do not show text on a terminal through LEAKTRACE_PAGER, PAGER or less.")
  var noPager = false

  var pager: String? { noPager ? nil : Pager.command }
}
