/// What stands in a report's page before the script fills it.
enum PageBody {
  static let source = #"""
    <section id="findingbox"><div class="wide"><table class="cardtable"><thead><tr id="findingheads"></tr></thead><tbody id="findings"></tbody></table></div></section>
    <div id="remarks"></div>
    <section class="cards" id="cards"></section>
    <section id="coursebox"><h2>Over time</h2><div><svg id="course" tabindex="0" role="img" aria-label="Outstanding memory over time"></svg></div><div id="legend"></div><p class="dim" id="coursetext"></p></section>
    <div class="tools" id="tools">
    <label id="querybox">search <input id="query" type="search" title="function, file:line, module or allocator" aria-label="Search functions, files, modules and allocators"></label>
    <select id="process" aria-label="Process"><option value="">all processes</option></select>
    <select id="kind" aria-label="Kind"><option value="">all kinds</option></select>
    <label id="librariesbox"><input id="libraries" type="checkbox"> hide std and allocator frames</label>
    <button id="all" type="button">Show all</button>
    <p class="dim" id="shown" aria-live="polite"></p></div>
    <div class="tabs" role="tablist" aria-label="Views">
    <button role="tab" type="button" id="tab-stacks" aria-controls="panel-stacks">Call stacks</button>
    <button role="tab" type="button" id="tab-flame" aria-controls="panel-flame">Flame graph</button>
    <button role="tab" type="button" id="tab-graph" aria-controls="panel-graph">Call graph, lines</button>
    <button role="tab" type="button" id="tab-words" aria-controls="panel-words">Words</button>
    <button role="tab" type="button" id="tab-taken" aria-controls="panel-taken">How it was taken</button></div>
    <section role="tabpanel" id="panel-stacks" aria-labelledby="tab-stacks">
    <div class="tools narrow"><select id="sort" aria-label="Sort"></select></div>
    <div class="wide"><table class="cardtable"><thead><tr id="heads"></tr></thead><tbody id="rows"></tbody></table></div>
    <p id="none" class="dim"></p><div class="tools"><button id="more" type="button">Show more</button></div></section>
    <section role="tabpanel" id="panel-flame" aria-labelledby="tab-flame"><div class="tools">
    <select id="measure" aria-label="Measure"></select>
    <select id="direction" aria-label="Direction"><option value="">from main down</option><option value="yes">from the allocation up</option></select>
    <button id="reset" type="button">Whole graph</button><b id="matched" aria-live="polite"></b></div>
    <p class="dim" id="info"></p><p class="dim" id="flameempty">Nothing to draw.</p>
    <div><svg id="flame" role="tree" aria-label="Flame graph: arrow keys move, Enter zooms, Escape goes back" font-family="ui-monospace,Menlo,monospace"></svg></div>
    <p class="dim">A bar is as wide as what its function and all that it calls hold. Click or Enter zooms, arrow keys move, Escape goes back.</p></section>
    <section role="tabpanel" id="panel-graph" aria-labelledby="tab-graph"><div class="tools"><select id="group" aria-label="Group"></select></div>
    <div class="wide"><table class="cardtable"><thead><tr id="graphheads"><th data-order="total" scope="col"><button type="button">total</button></th><th scope="col">% total</th><th data-order="self" scope="col"><button type="button">self</button></th><th scope="col">% self</th><th data-order="name" scope="col" class="name"><button type="button">name</button></th></tr></thead><tbody id="graphrows"></tbody></table></div>
    <div class="tools"><button id="graphmore" type="button">Show more</button></div></section>
    <section role="tabpanel" id="panel-taken" aria-labelledby="tab-taken"><div id="taken"></div></section>
    <div id="tip" role="tooltip" hidden></div>

    """#
}
