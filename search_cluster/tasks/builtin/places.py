"""Countries, states and regions with their capitals: the facts behind the task ``capitals``.

Left out on purpose are places whose capital is disputed, shared between cities or about to move,
and places that bear the same name as their capital. Spelling is the common English one.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A place and its one capital."""

    name: str
    """The name without an article: ``Netherlands``."""
    capital: str
    """The name of the capital."""
    kind: str
    """What it is called in a question: ``country``, ``US state``, ..."""
    region: str
    """Places with the same region are neighbours, which make hard distractors: the continent of a
    country, else the same as ``kind``."""
    article: str
    """``"the "`` where a sentence needs one, else empty."""


_COUNTRIES = {
    "Africa": """
        Algeria: Algiers; Angola: Luanda; Benin: Porto-Novo; Botswana: Gaborone;
        Burkina Faso: Ouagadougou; Burundi: Gitega; Cameroon: Yaounde; Cape Verde: Praia;
        the Central African Republic: Bangui; Chad: N'Djamena; the Comoros: Moroni;
        the Democratic Republic of the Congo: Kinshasa; the Republic of the Congo: Brazzaville;
        Egypt: Cairo; Eritrea: Asmara; Ethiopia: Addis Ababa; Gabon: Libreville; the Gambia: Banjul;
        Ghana: Accra; Guinea: Conakry; Guinea-Bissau: Bissau; the Ivory Coast: Yamoussoukro;
        Kenya: Nairobi; Lesotho: Maseru; Liberia: Monrovia; Libya: Tripoli;
        Madagascar: Antananarivo; Malawi: Lilongwe; Mali: Bamako; Mauritania: Nouakchott;
        Mauritius: Port Louis; Morocco: Rabat; Mozambique: Maputo; Namibia: Windhoek; Niger: Niamey;
        Nigeria: Abuja; Rwanda: Kigali; Senegal: Dakar; the Seychelles: Victoria;
        Sierra Leone: Freetown; Somalia: Mogadishu; South Sudan: Juba; Sudan: Khartoum;
        Tanzania: Dodoma; Togo: Lome; Tunisia: Tunis; Uganda: Kampala; Zambia: Lusaka;
        Zimbabwe: Harare""",
    "Asia": """
        Afghanistan: Kabul; Armenia: Yerevan; Azerbaijan: Baku; Bahrain: Manama; Bangladesh: Dhaka;
        Bhutan: Thimphu; Brunei: Bandar Seri Begawan; Cambodia: Phnom Penh; China: Beijing;
        East Timor: Dili; Georgia: Tbilisi; India: New Delhi; Iran: Tehran; Iraq: Baghdad;
        Japan: Tokyo; Jordan: Amman; Kazakhstan: Astana; Kuwait: Kuwait City; Kyrgyzstan: Bishkek;
        Laos: Vientiane; Lebanon: Beirut; Malaysia: Kuala Lumpur; the Maldives: Male;
        Mongolia: Ulaanbaatar; Myanmar: Naypyidaw; Nepal: Kathmandu; North Korea: Pyongyang;
        Oman: Muscat; Pakistan: Islamabad; the Philippines: Manila; Qatar: Doha;
        Saudi Arabia: Riyadh; South Korea: Seoul; Syria: Damascus; Tajikistan: Dushanbe;
        Thailand: Bangkok; Turkey: Ankara; Turkmenistan: Ashgabat;
        the United Arab Emirates: Abu Dhabi; Uzbekistan: Tashkent; Vietnam: Hanoi""",
    "Europe": """
        Albania: Tirana; Andorra: Andorra la Vella; Austria: Vienna; Belarus: Minsk;
        Belgium: Brussels; Bosnia and Herzegovina: Sarajevo; Bulgaria: Sofia; Croatia: Zagreb;
        Cyprus: Nicosia; the Czech Republic: Prague; Denmark: Copenhagen; Estonia: Tallinn;
        Finland: Helsinki; France: Paris; Germany: Berlin; Greece: Athens; Hungary: Budapest;
        Iceland: Reykjavik; Ireland: Dublin; Italy: Rome; Latvia: Riga; Liechtenstein: Vaduz;
        Lithuania: Vilnius; Malta: Valletta; Moldova: Chisinau; Montenegro: Podgorica;
        the Netherlands: Amsterdam; North Macedonia: Skopje; Norway: Oslo; Poland: Warsaw;
        Portugal: Lisbon; Romania: Bucharest; Russia: Moscow; Serbia: Belgrade;
        Slovakia: Bratislava; Slovenia: Ljubljana; Spain: Madrid; Sweden: Stockholm;
        Switzerland: Bern; Ukraine: Kyiv; the United Kingdom: London""",
    "the Americas": """
        Antigua and Barbuda: St. John's; Argentina: Buenos Aires; the Bahamas: Nassau;
        Barbados: Bridgetown; Belize: Belmopan; Brazil: Brasilia; Canada: Ottawa; Chile: Santiago;
        Colombia: Bogota; Costa Rica: San Jose; Cuba: Havana; Dominica: Roseau;
        the Dominican Republic: Santo Domingo; Ecuador: Quito; El Salvador: San Salvador;
        Grenada: St. George's; Guatemala: Guatemala City; Guyana: Georgetown; Haiti: Port-au-Prince;
        Honduras: Tegucigalpa; Jamaica: Kingston; Mexico: Mexico City; Nicaragua: Managua;
        Panama: Panama City; Paraguay: Asuncion; Peru: Lima; Saint Kitts and Nevis: Basseterre;
        Saint Lucia: Castries; Saint Vincent and the Grenadines: Kingstown; Suriname: Paramaribo;
        Trinidad and Tobago: Port of Spain; the United States: Washington, D.C.;
        Uruguay: Montevideo; Venezuela: Caracas""",
    "Oceania": """
        Australia: Canberra; Fiji: Suva; Kiribati: South Tarawa; the Marshall Islands: Majuro;
        Micronesia: Palikir; New Zealand: Wellington; Palau: Ngerulmud;
        Papua New Guinea: Port Moresby; Samoa: Apia; the Solomon Islands: Honiara;
        Tonga: Nuku'alofa; Tuvalu: Funafuti; Vanuatu: Port Vila""",
}

_STATES = {
    "US state": """
        Alabama: Montgomery; Alaska: Juneau; Arizona: Phoenix; Arkansas: Little Rock;
        California: Sacramento; Colorado: Denver; Connecticut: Hartford; Delaware: Dover;
        Florida: Tallahassee; Georgia: Atlanta; Hawaii: Honolulu; Idaho: Boise;
        Illinois: Springfield; Indiana: Indianapolis; Iowa: Des Moines; Kansas: Topeka;
        Kentucky: Frankfort; Louisiana: Baton Rouge; Maine: Augusta; Maryland: Annapolis;
        Massachusetts: Boston; Michigan: Lansing; Minnesota: Saint Paul; Mississippi: Jackson;
        Missouri: Jefferson City; Montana: Helena; Nebraska: Lincoln; Nevada: Carson City;
        New Hampshire: Concord; New Jersey: Trenton; New Mexico: Santa Fe; New York: Albany;
        North Carolina: Raleigh; North Dakota: Bismarck; Ohio: Columbus; Oklahoma: Oklahoma City;
        Oregon: Salem; Pennsylvania: Harrisburg; Rhode Island: Providence; South Carolina: Columbia;
        South Dakota: Pierre; Tennessee: Nashville; Texas: Austin; Utah: Salt Lake City;
        Vermont: Montpelier; Virginia: Richmond; Washington: Olympia; West Virginia: Charleston;
        Wisconsin: Madison; Wyoming: Cheyenne""",
    "Canadian province": """
        Alberta: Edmonton; British Columbia: Victoria; Manitoba: Winnipeg;
        New Brunswick: Fredericton; Newfoundland and Labrador: St. John's; Nova Scotia: Halifax;
        Ontario: Toronto; Prince Edward Island: Charlottetown; Saskatchewan: Regina""",
    "Australian state": """
        New South Wales: Sydney; Queensland: Brisbane; South Australia: Adelaide; Tasmania: Hobart;
        Victoria: Melbourne; Western Australia: Perth""",
    "German state": """
        Baden-Wuerttemberg: Stuttgart; Bavaria: Munich; Brandenburg: Potsdam; Hesse: Wiesbaden;
        Lower Saxony: Hanover; Mecklenburg-Vorpommern: Schwerin;
        North Rhine-Westphalia: Duesseldorf; Rhineland-Palatinate: Mainz; Saarland: Saarbruecken;
        Saxony: Dresden; Saxony-Anhalt: Magdeburg; Schleswig-Holstein: Kiel; Thuringia: Erfurt""",
    "Italian region": """
        Abruzzo: L'Aquila; Apulia: Bari; Basilicata: Potenza; Calabria: Catanzaro; Campania: Naples;
        Emilia-Romagna: Bologna; Friuli-Venezia Giulia: Trieste; Liguria: Genoa; Lombardy: Milan;
        Marche: Ancona; Molise: Campobasso; Piedmont: Turin; Sardinia: Cagliari; Sicily: Palermo;
        Tuscany: Florence; Umbria: Perugia; Veneto: Venice""",
    "Indian state": """
        Arunachal Pradesh: Itanagar; Assam: Dispur; Bihar: Patna; Goa: Panaji; Gujarat: Gandhinagar;
        Jharkhand: Ranchi; Karnataka: Bengaluru; Kerala: Thiruvananthapuram; Madhya Pradesh: Bhopal;
        Maharashtra: Mumbai; Manipur: Imphal; Meghalaya: Shillong; Mizoram: Aizawl;
        Nagaland: Kohima; Odisha: Bhubaneswar; Rajasthan: Jaipur; Sikkim: Gangtok;
        Tamil Nadu: Chennai; Telangana: Hyderabad; Tripura: Agartala; Uttar Pradesh: Lucknow;
        West Bengal: Kolkata""",
    "Brazilian state": """
        Acre: Rio Branco; Alagoas: Maceio; Amapa: Macapa; Amazonas: Manaus; Bahia: Salvador;
        Ceara: Fortaleza; Espirito Santo: Vitoria; Goias: Goiania; Maranhao: Sao Luis;
        Mato Grosso: Cuiaba; Mato Grosso do Sul: Campo Grande; Minas Gerais: Belo Horizonte;
        Para: Belem; Paraiba: Joao Pessoa; Parana: Curitiba; Pernambuco: Recife; Piaui: Teresina;
        Rio Grande do Norte: Natal; Rio Grande do Sul: Porto Alegre; Rondonia: Porto Velho;
        Roraima: Boa Vista; Santa Catarina: Florianopolis; Sergipe: Aracaju; Tocantins: Palmas""",
}


def _parse(table: str, kind: str, region: str) -> list[Place]:
    """The places of ``[the ]NAME: CAPITAL; ...``."""
    places = []
    for entry in table.split(";"):
        name, capital = (" ".join(part.split()) for part in entry.split(":"))
        article = "the " if name.startswith("the ") else ""
        places.append(
            Place(
                name=name.removeprefix("the "),
                capital=capital,
                kind=kind,
                region=region,
                article=article,
            )
        )
    return places


PLACES: tuple[Place, ...] = tuple(
    place
    for tables, is_country in ((_COUNTRIES, True), (_STATES, False))
    for group, table in tables.items()
    for place in _parse(table, "country" if is_country else group, group)
)
"""All places, in a fixed order."""
